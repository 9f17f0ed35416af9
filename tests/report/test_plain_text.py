"""Numbers as text; hostile text: nothing that a reader cannot see survives."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.report import plain_text as numbers
from undertow.report.plain_text import visible

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234.5678, "+1,234.57"),
        (-0.4, "−0.40"),
        (-0.001, "0.00"),
        (0.0, "0.00"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
        (None, "–"),
        (1.5e12, "+1.5×10¹²"),
    ],
)
def test_decimals(value: float | None, shown: str) -> None:
    """A true minus sign, no signed zero, and a dash for what is not there."""
    assert numbers.decimal(value, 2, signed=True) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.45, "45.0"), (0.0625, "6.2"), (0.0001, "< 0.1"), (0.0, "0.0")]
)
def test_percentages(value: float, shown: str) -> None:
    """A small share is never shown as none."""
    assert numbers.percent(value) == f"{shown}{NBSP}%"


def test_a_missing_percentage_is_a_dash() -> None:
    """None and NaN are shown alike."""
    assert numbers.percent(None) == numbers.percent(math.nan) == "–"


@pytest.mark.parametrize(("p", "shown"), [(2 / 70, "0.029"), (1e-6, "< 0.001"), (None, "–")])
def test_p_values(p: float | None, shown: str) -> None:
    """Three decimals, and never zero."""
    assert numbers.p_value(p) == shown


def test_differences_of_shares_are_percentage_points() -> None:
    """A difference in probability is shown in points, one in logits as it is."""
    assert numbers.difference(0.387, "probability") == "+38.7"
    assert numbers.unit_name("probability") == "percentage points"
    assert numbers.difference(-2.613, "logits") == "−2.61"


def test_a_limit_that_the_design_does_not_give_is_infinite() -> None:
    """Each open limit is infinite, towards its side."""
    assert numbers.interval(None, 0.1, "logits") == "[−∞, +0.10]"
    assert numbers.interval(0.1, None, "logits") == "[+0.10, ∞]"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(4.24, "4.2 s"), (271.4, "4 min 31 s"), (7260.0, "2 h 01 min"), (math.nan, "–")],
)
def test_durations(seconds: float, shown: str) -> None:
    """The two largest units."""
    assert numbers.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1e-6, "1×10⁻⁶"), (1.2345678e20, "1.235×10²⁰"), (0.25, "0.25")]
)
def test_significant_digits(value: float, shown: str) -> None:
    """Four digits; powers of ten only where they are shorter."""
    assert numbers.significant(value) == shown


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_decimals_can_be_read_back(value: float, places: int) -> None:
    """The text is the number, rounded to the stated places."""
    read = float(numbers.decimal(value, places).replace("−", "-").replace(",", ""))

    assert read == pytest.approx(value, abs=0.5000001 * 10**-places)


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
