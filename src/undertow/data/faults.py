"""Rows that cannot be used: counted by reason, the first of each reason named by file and row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from undertow.results.scan import Excluded

PLACES = 5
"""Bad rows of each reason that are named."""

_LONGEST = 240
"""Characters of a place; what was found may hold a whole hostile row."""


@dataclass
class Faults:
    """A running count of the rows of one file that cannot be used."""

    file: str
    """What the file is called in a place, e.g. `'rows.jsonl'`."""
    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, where: str, found: str, *, rows: int = 1) -> None:
        """
        Count `rows` rows under a permanent id; `where` is e.g. `row 7`, `found` says what was found there.
        """
        self.counts[reason] += rows
        named = self.places.setdefault(reason, [])
        if len(named) < PLACES:
            named.append(shown(f"{self.file}, {where}: {found}"))

    def excluded(self) -> tuple[Excluded, ...]:
        """The counts by reason, as they are stored."""
        return tuple(
            Excluded(reason=reason, rows=count, places=tuple(self.places[reason]))
            for reason, count in sorted(self.counts.items())
        )


def shown(text: str, longest: int = _LONGEST) -> str:
    r"""
    A hostile text made storable and printable: shortened, and what is not printable as its escape.

    >>> shown("owl\x1b[2J \ud800"), shown("abcdef", longest=3)
    ('owl\\x1b[2J \\ud800', 'abc…')
    """
    short = text if len(text) <= longest else text[:longest] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
