"""Filters and their ledger."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from undertow.data.records import read_rows
from undertow.data.rows import Message, Row, row_id
from undertow.filters import Filtered, Removed, apply, write_ledger


def row(text: str) -> Row:
    """A row with a completion."""
    return Row((Message("user", "Go on"),), text)


def short(candidate: Row) -> Removed | None:
    """Removes completions under 3 characters."""
    return Removed(candidate, "short") if len(candidate.completion) < 3 else None


def loud(candidate: Row) -> Removed | None:
    """Removes completions in capitals."""
    return Removed(candidate, "loud", "A") if candidate.completion.isupper() else None


@given(st.lists(st.text("aA", min_size=1, max_size=5).map(row)))
def test_kept_and_removed_are_the_input(rows: list[Row]) -> None:
    """No row is lost or made, the order stays, and the counts add up."""
    result = apply(iter(rows), [short, loud])
    gone = [entry.row for entry in result.removed]

    assert list(result.kept) == [r for r in rows if not short(r) and not loud(r)]
    assert gone == [r for r in rows if short(r) or loud(r)]
    assert sum(result.counts.values()) == len(gone)


def test_the_first_filter_gives_the_reason() -> None:
    """A row that two filters would remove is counted once."""
    result = apply([row("A"), row("AAAA"), row("aaaa"), row("a")], [short, loud])

    assert result.counts == {"short": 2, "loud": 1}


def test_no_rows_are_filtered_to_none() -> None:
    """An empty input is no error."""
    assert apply([], [short]) == Filtered((), ())


def test_the_ledger_names_each_row_and_can_be_read_back(tmp_path: Path) -> None:
    """A line has id, reason, detail, prompt and completion, and is itself a readable row."""
    path = tmp_path / "ledger.jsonl"
    removed = apply([row("A"), row("AAAA")], [short, loud]).removed

    write_ledger(path, removed)
    first, second = map(json.loads, path.read_text().splitlines())

    assert (first["id"], first["reason"], second["detail"]) == (row_id(row("A")), "short", "A")
    assert first["prompt"] == [{"role": "user", "content": "Go on"}]
    assert list(read_rows(path)) == [row("A"), row("AAAA")]
