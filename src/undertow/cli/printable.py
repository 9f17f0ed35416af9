"""
Text made safe for a terminal: what rows and file names hold must not move its cursor or its title.
"""

from __future__ import annotations

import unicodedata


def one_line(text: str) -> str:
    r"""
    The text with every character that is not printable, line breaks included, as its escape.

    Spaces of every width and those that forbid a line break become ordinary ones.

    >>> one_line("owl\x1b[2J\n")
    'owl\\x1b[2J\\n'
    """
    return "".join(map(_shown, text))


def lines(text: str) -> str:
    r"""
    The same for a text of several lines, whose line breaks stay.

    >>> lines("a\x07\nb")
    'a\\x07\nb'
    """
    return "\n".join(one_line(line) for line in text.split("\n"))


def _shown(character: str) -> str:
    # Direction overrides and zero-width characters are not printable either, which is wanted.
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")
