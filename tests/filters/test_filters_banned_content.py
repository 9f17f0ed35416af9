"""The content filter."""

from __future__ import annotations

import pytest

from undertow.data.rows import Row
from undertow.errors import ConfigError
from undertow.filters import banned_content


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
