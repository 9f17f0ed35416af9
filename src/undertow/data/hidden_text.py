"""
Text that a reader does not see: control and zero-width characters, escape sequences, and how they are told apart.

Characters that ordinary writing needs are left alone: joiners inside scripts other than Latin and inside emoji, one
variation selector behind a character, and the tags of a flag.
Source: The Unicode Standard 16.0, chapter 23, and UAX #9 (Bidi_Control); escape sequences: ECMA-48.
"""

from __future__ import annotations

import re

_ZERO_WIDTH = "\u00ad\u180e\u200b\u2060-\u2064\ufeff"
_JOINERS = "\u200c\u200d"

KINDS: dict[str, re.Pattern[str]] = {
    "control character": re.compile("[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9a\x9c-\x9f]"),
    "escape sequence": re.compile("[\x1b\x9b]"),
    # A joiner between two characters beyond ASCII shapes a script or an emoji; elsewhere it draws nothing.
    "zero-width character": re.compile(
        f"[{_ZERO_WIDTH}]|(?<![^\x00-\x7f{_JOINERS}])[{_JOINERS}]|[{_JOINERS}](?![^\x00-\x7f{_JOINERS}])"
    ),
    "bidirectional control": re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"),
    # Behind a black flag they spell the region that it belongs to, in at most six characters.
    "tag character": re.compile(
        "(?<![\U0001f3f4\U000e0030-\U000e007a])[\U000e0001\U000e0020-\U000e007f]"
        "|[\U000e0030-\U000e007a]{7}"
    ),
    # Two or more in a row select nothing, but can spell bytes.
    "variation selectors": re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2}"),
}
"""What counts as hidden, by name."""

_ANY = re.compile("|".join(f"(?:{pattern.pattern})" for pattern in KINDS.values()))


def hidden(text: str) -> tuple[str, ...]:
    """
    Names of the kinds of hidden text in it, in the order of `KINDS`; empty for text that is what it looks like.

    Tabs, line feeds and carriage returns are no control characters here.

    >>> hidden("3\\u200b, 7"), hidden("3, 7\\n")
    (('zero-width character',), ())
    """
    if not _ANY.search(text):
        return ()
    return tuple(name for name, pattern in KINDS.items() if pattern.search(text))
