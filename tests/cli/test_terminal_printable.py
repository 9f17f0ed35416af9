"""No text that undertow prints can steer a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.cli.terminal import lines, one_line


@given(st.text())
def test_everything_shown_is_printable(text: str) -> None:
    """Whatever the text, one line of it holds printable characters only."""
    assert one_line(text).isprintable()


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_readable_text_is_left_alone(text: str) -> None:
    """Letters, digits, punctuation and symbols of any script stay as they are."""
    assert one_line(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("abc\u202edef", "abc\\u202edef"),
        ("lone \udc80", "lone \\udc80"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("50\u00a0% \u2009thin", "50 %  thin"),
    ],
)
def test_what_steers_a_terminal_becomes_its_escape(text: str, shown: str) -> None:
    """Escape sequences, direction overrides, undecodable bytes and line breaks are spelled out."""
    assert one_line(text) == shown


def test_lines_stay_lines() -> None:
    """A text of several lines keeps its breaks and nothing else."""
    assert lines("a\nb\x00\n") == "a\nb\\x00\n"
