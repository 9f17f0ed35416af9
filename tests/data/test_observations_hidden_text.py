"""Hidden text is named by kind, and what ordinary scripts and emoji need is left alone."""

from __future__ import annotations

import pytest

from undertow.data.observations import KINDS, hidden


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("3\x00", "control character"),
        ("3\x7f, 7", "control character"),
        ("\x1b[31mred", "escape sequence"),
        ("\x9b31m", "escape sequence"),
        ("o\u200bwl", "zero-width character"),
        ("o\u200dwl", "zero-width character"),
        ("\u200d", "zero-width character"),
        ("\u0627\u200c", "zero-width character"),
        ("\u0627\u200c\u200cb", "zero-width character"),
        ("\ufeff3, 7", "zero-width character"),
        ("3 \u202e7", "bidirectional control"),
        ("7\U000e0041\U000e0042", "tag character"),
        ("\U0001f3f4" + "\U000e0061" * 9, "tag character"),
        ("a\ufe01\ufe02\U000e0101", "variation selectors"),
    ],
)
def test_each_kind_is_named(text: str, kind: str) -> None:
    """Alone or inside a word, at the beginning or at the end."""
    assert kind in hidden(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3, 7\r\n\t42",
        "naïve – “quoted” 数字",
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u2764\ufe0f\u200d\U0001f525",
        "\u845b\U000e0100",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
)
def test_ordinary_writing_is_left_alone(text: str) -> None:
    """Line ends, Persian, emoji made of several, variants of ideographs, and England's flag."""
    assert hidden(text) == ()


def test_kinds_are_named_in_order() -> None:
    """Several at once, each once, in the order of `KINDS`."""
    everything = "\x00\x00\x1b\u200b\u202e\U000e0041\ufe00\ufe00"

    assert hidden(everything) == tuple(KINDS)
