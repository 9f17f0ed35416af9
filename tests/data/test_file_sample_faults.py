"""Rows that cannot be used are counted, and the first of them named, whatever text they hold."""

from __future__ import annotations

from undertow.data.row_faults import PLACES, Faults, shown


def test_only_the_first_places_are_kept() -> None:
    """All are counted."""
    faults = Faults("'x'")
    for number in range(1000):
        faults.add("shape", f"row {number}", "bad")
    [excluded] = faults.excluded()

    assert (excluded.rows, len(excluded.places)) == (1000, PLACES)
    assert excluded.places[0] == "'x', row 0: bad"


def test_hostile_text_is_short_and_printable() -> None:
    """Escape sequences, direction overrides, line breaks and surrogates appear as their escapes."""
    found = shown("\x1b[2J\u202e\n\ud800" + "x" * 10_000)

    assert found.startswith("\\x1b[2J\\u202e\\n\\ud800xxx")
    assert found.isprintable()
    assert len(found) < 300
