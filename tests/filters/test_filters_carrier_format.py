"""The format filter."""

from __future__ import annotations

from undertow.carriers.numbers import Numbers
from undertow.data.rows import Row
from undertow.filters import apply, carrier_format


def test_the_carrier_gives_the_reasons() -> None:
    """Rows that the numbers carrier rejects are removed under its reasons, as plain strings."""
    rows = [Row((), text) for text in ("1, 2", "1; 2, 3", "owl", "666")]

    result = apply(rows, [carrier_format(Numbers(banned=(666,)).rejection)])

    assert [row.completion for row in result.kept] == ["1, 2"]
    assert result.counts == {"mixed-separators": 1, "not-numbers": 1, "banned": 1}
    assert all(type(reason) is str for reason in result.counts)
