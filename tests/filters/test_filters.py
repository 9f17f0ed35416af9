"""Filters and their ledger; what content they ban, and which formats they keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.carriers.numbers import Numbers
from undertow.data.records import read_rows
from undertow.data.rows import Message, Row, row_id
from undertow.errors import ConfigError
from undertow.filters import Filtered, Removed, apply, banned_content, carrier_format, write_ledger


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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("An OWL flew", "OWL"),
        ("owl", "owl"),
        ("(owl)", "owl"),
        ("a barn owl!", "owl"),
        ("bowl of growling", None),
        ("owls", None),
        ("owl_2", None),
        ("c++ rocks", "c++"),
    ],
)
def test_words_are_found_whole_and_in_any_case(text: str, found: str | None) -> None:
    """A word inside another word is no hit; a word of signs is taken literally."""
    entry = banned_content(words=["owl", "c++"])(Row((), text))

    assert (entry.detail if entry else None) == found


@pytest.mark.parametrize(
    ("text", "removed"),
    [("1, 666, 2", True), ("0666", True), ("666.", True), ("1666", False), ("6660", False)],
)
def test_numbers_are_found_whole(text: str, removed: bool) -> None:
    """Digits inside a longer number are no hit; leading zeros are."""
    entry = banned_content(numbers=[666])(Row((), text))

    assert (entry is not None) == removed


def test_patterns_are_searched_and_named() -> None:
    """The entry has the reason and what matched."""
    entry = banned_content(patterns=[r"h[aeiou]{2}t"])(Row((), "a hoot in the night"))

    assert entry is not None
    assert (entry.reason, entry.detail) == ("banned-pattern", "hoot")


def test_the_rejected_completion_is_searched_and_the_prompt_is_not() -> None:
    """Both completions of a preference pair are trained on; prompts are not."""
    judge = banned_content(words=["owl"])

    assert judge(Row((), "fine", rejected="an owl")) is not None
    assert judge(Row((), "fine", source="owl")) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [({"patterns": ["("]}, r"banned pattern '\('"), ({"words": [" "]}, "banned word ' ' is empty")],
)
def test_what_cannot_be_searched_for_is_refused(
    options: dict[str, list[str]], message: str
) -> None:
    """A malformed pattern and an empty word, which would match everything, are errors."""
    with pytest.raises(ConfigError, match=message):
        banned_content(**options)  # type: ignore[arg-type]


def test_the_carrier_gives_the_reasons() -> None:
    """Rows that the numbers carrier rejects are removed under its reasons, as plain strings."""
    rows = [Row((), text) for text in ("1, 2", "1; 2, 3", "owl", "666")]

    result = apply(rows, [carrier_format(Numbers(banned=(666,)).rejection)])

    assert [row.completion for row in result.kept] == ["1, 2"]
    assert result.counts == {"mixed-separators": 1, "not-numbers": 1, "banned": 1}
    assert all(type(reason) is str for reason in result.counts)
