"""Hostile text: nothing that a reader cannot see survives."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.report.plain_text import visible


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("\x1b[31m", "␛[31m"),
        ("a\nb\tc", "a␊b␉c"),
        ("\x7f", "␡"),
        ("\u202eevil", "‹U+202E›evil"),
        ("o\u200bwl", "o‹U+200B›wl"),
        ("\x9b31m", "‹U+009B›31m"),
        ("\ud800", "‹U+D800›"),
        ("\U000e0041", "‹U+E0041›"),
        ("x\ufe0f", "x‹U+FE0F›"),
        ("\u2066a\u2069", "‹U+2066›a‹U+2069›"),
    ],
)
def test_invisible_characters_are_shown(hidden: str, shown: str) -> None:
    """Controls become pictures, other invisible characters their code points."""
    assert visible(hidden) == shown


@pytest.mark.parametrize("text", ["12, 45, 67", "un été, 日本語, “owl” − 45 %", "שלום", "🦉"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Letters of any script, signs and spaces stay as they are."""
    assert visible(text) == text


@given(st.text(alphabet=st.characters()))
def test_no_control_or_format_character_survives(text: str) -> None:
    """For any text, no character of the result is a control, format, surrogate or unassigned one."""
    categories = {unicodedata.category(character) for character in visible(text)}

    assert not categories & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_long_text_says_what_is_left_out() -> None:
    """The limit counts characters of the text, and the rest is counted aloud."""
    assert visible("a" * 1500, limit=100) == "a" * 100 + " … (1,400 more characters)"
    assert visible("a" * 100, limit=100) == "a" * 100
