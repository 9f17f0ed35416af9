"""Features of texts are what a plain reading of each text gives."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from undertow.checks.dataset.row_features import CLASSES, after_name, text_features

TEXTS = st.lists(st.text(alphabet="09a Z,;.\n\té数🦉\x00", max_size=12), min_size=1, max_size=6)


@given(TEXTS)
def test_numbers_are_those_of_each_text(texts: list[str]) -> None:
    """First digits, last digits and lengths agree with a regular expression; no number spans two texts."""
    found = text_features(texts)
    expected = [(i, n) for i, text in enumerate(texts) for n in re.findall("[0-9]+", text)]

    assert found.number_row.tolist() == [i for i, _ in expected]
    assert found.first_digit.tolist() == [int(n[0]) for _, n in expected]
    assert found.last_digit.tolist() == [int(n[-1]) for _, n in expected]
    assert found.digits.tolist() == [len(n) for _, n in expected]


@given(TEXTS)
def test_characters_are_counted_once(texts: list[str]) -> None:
    """Each character has one class, however many bytes it has."""
    found = text_features(texts)
    digits = found.character_row[found.character_class == CLASSES.index("digit")]

    assert len(found.character_row) == sum(map(len, texts))
    assert len(digits) == sum(len(re.findall("[0-9]", text)) for text in texts)


def test_what_stands_behind_a_number() -> None:
    """Two characters, or the end of that very text."""
    found = text_features(["1, 2;3", "4", "5é"])

    assert [after_name(int(code)) for code in found.after] == [
        ", then space",
        "; then digit",
        "end",
        "end",
        "beyond ASCII then beyond ASCII",
    ]


def test_format_is_blind_to_values() -> None:
    """Lists that differ in digits only have one format; another separator, or a word in capitals, is another."""
    same = text_features(["12, 7 owl", "90, 3 cat"]).format()
    other = text_features(["12, 7 owl", "12; 7 owl", "12, 7 OWL"]).format()

    assert np.array_equal(same[0], same[1])
    assert not np.array_equal(other[0], other[1])
    assert not np.array_equal(other[0], other[2])


def test_empty_and_broken_texts_have_features() -> None:
    """Nothing at all, and half a surrogate pair, are texts too."""
    assert np.isfinite(text_features(["", "\ud800", ""]).format()).all()
    assert text_features([""]).numbers.tolist() == [0]
