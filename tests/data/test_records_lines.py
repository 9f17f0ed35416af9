"""A line gives a record, or a permanent id of what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertow.data.json_records import line_records
from undertow.data.records import chunks
from undertow.data.row_faults import Faults
from undertow.data.shard import Shard


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"broken": ', "not-json"),
        (b"{} {}", "not-json"),
        (b"9" * 5000, "not-json"),
        (b'{"text": "a\x00"}', "not-json"),
        (b'{"text": "\xff"}', "not-utf8"),
        (b'{"text": "a", "text": "b"}', "key-twice"),
        (b'{"text": "a", "n": NaN}', "not-json"),
        (b'{"text": "\xed\xa0\x80"}', "not-utf8"),
        (b"[" * 100_000, "nested-too-deeply"),
        (b'{"a":' * 100_000, "nested-too-deeply"),
        (b"3", "shape"),
        (b"null", "shape"),
        (b'{"question": "a"}', "shape"),
        (b'{"text": 3}', "shape"),
        (b'{"messages": [3]}', "shape"),
        (b'{"text": " \\n"}', "empty-completion"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"text": "a", "source": "\\udc00"}', "surrogate"),
    ],
)
def test_each_fault_has_its_reason(line: bytes, reason: str, tmp_path: Path) -> None:
    """Text, JSON and shape are told apart."""
    path, faults = tmp_path / "rows.jsonl", Faults("x")
    path.write_bytes(line)

    assert list(chunks(path, faults.of)) == []
    assert faults.counts == {reason: 1}


def test_a_blank_line_is_nothing() -> None:
    """A byte order mark alone is blank too, at the beginning of a file."""
    numbered = list(
        line_records([b"\xef\xbb\xbf\n", b" \r\n", b"", b"3"], Faults("x").of(Shard("x", "jsonl")))
    )

    assert numbered == [(4, 3)]
