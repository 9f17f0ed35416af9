"""Hostile text made harmless and visible: nothing that a reader cannot see survives."""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
# Letters and marks that draw nothing: Hangul fillers, the blank Braille cell, variation selectors.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def visible(text: str, *, limit: int | None = None) -> str:
    """
    The text with every control, format and blank character replaced by a sign that shows it.

    ASCII controls become their control pictures (escape is ␛, line feed is ␊); the others, such
    as the bidirectional controls, become their code point: ‹U+202E›.

    Args:
        limit: characters to keep; the number of those left out is said.
    """
    kept = text if limit is None else text[:limit]
    left_out = len(text) - len(kept)
    shown = kept if kept.isascii() and kept.isprintable() else "".join(map(_sign, kept))
    return f"{shown} … ({left_out:,} more characters)" if left_out else shown


def _sign(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    hidden = unicodedata.category(character) in _INVISIBLE_CATEGORIES
    return f"‹U+{code:04X}›" if hidden or _BLANK.match(character) else character
