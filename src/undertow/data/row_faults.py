"""Rows that cannot be used: each is counted under its reason, the first are named, and it is said what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from undertow.data.closed import Stored
from undertow.data.parquet_file import OnFault
from undertow.data.shard import Shard

_PLACES_TOLD = 2
"""Of each reason, in the error where no row can be used."""

_WAYS = {
    "shape": "leave these rows out, or write them in a shape of undertow explain scan#the-rows-and-what-is-learnt-of-them",
    "not-json": "write one JSON object a line (jq -c . ROWS > ROWS.jsonl); a file that is one array is called .json",
    "not-utf8": "write them as UTF-8, if they come from Windows: iconv -f WINDOWS-1252 -t UTF-8 ROWS > ROWS.utf8.jsonl",
    "not-csv": 'double the quotes in a cell ("he said ""hi"""), and quote what holds a separator',
    "key-twice": "write each key of a row once",
    "damaged": "fetch the file again and compare its checksum",
    "empty-completion": "leave out the rows that have no answer",
    "line-too-long": "end each row with a line break; a file that is one array is called .json",
    "tokens": "remove the columns of tokens: what is read here is the text",
    "media": "give rows of text alone",
    "none": "name a file that holds rows",
}
"""What to do, by the reason for which most rows cannot be used."""

_HINTS = 8
"""Bad rows of each reason of which it is kept what to do."""

PLACES = 5
"""Bad rows of each reason that are named."""

_TOLD = 8
"""Faults of each reason that a piece tells in full; the others are counted."""

_LONGEST = 240
"""Characters of a place; what was found may hold a whole hostile row."""


class Excluded(Stored):
    """Rows that could not be used, for one reason."""

    reason: str
    """Permanent id, e.g. `empty-completion`, `too-long`, `not-utf8`, `not-json`, `shape`, `duplicate`."""
    rows: int
    places: tuple[str, ...] = ()
    """The first of them, each as file and row, with what was found."""


@dataclass
class Faults:
    """A running count of the rows that cannot be used."""

    file: str
    """What the dataset is called, e.g. `'rows.jsonl'`."""
    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)
    hints: dict[str, list[str]] = field(default_factory=dict)
    """What to do about the first rows of each reason; empty where that is the reason's own."""

    def add(self, reason: str, where: str, text: str, *, hint: str = "") -> None:
        """Count a row under a permanent id; `where` is e.g. `row 7`, `text` says what was found there, `hint` what to do."""
        self._add(reason, f"{self.file}, {where}", text, 1, hint)

    def of(self, shard: Shard) -> OnFault:
        """
        The same, as a reader of a shard's records tells it: a fault of the whole shard is that of all its rows, named
        at the first.
        """
        file = shard.named

        def add_row(reason: str, number: int, text: str, /, rows: int = 1, hint: str = "") -> None:
            if rows:
                self._add(reason, f"{file}, row {max(1, number)}", text, rows, hint)

        return add_row

    def excluded(self) -> tuple[Excluded, ...]:
        """The counts by reason, as they are stored."""
        return tuple(
            Excluded(reason=reason, rows=count, places=tuple(self.places[reason]))
            for reason, count in sorted(self.counts.items())
        )

    def hint(self, ways: Mapping[str, str] = _WAYS) -> str:
        """What to do about most of the rows: what is said of them, or of their reason."""
        most = max(self.counts, key=lambda reason: self.counts[reason], default="none")
        told = self.hints.get(most, [])
        hint = max(told, key=told.count, default="")
        return hint or ways.get(most, "mend the rows that are named, or give other data")

    def _add(self, reason: str, place: str, text: str, rows: int, hint: str) -> None:
        self.counts[reason] += rows
        hints = self.hints.setdefault(reason, [])
        if len(hints) < _HINTS:
            hints.append(hint)
        named = self.places.setdefault(reason, [])
        told = shown(f"{place}: {text}")
        if len(named) < PLACES and told not in named:
            named.append(told)


def reasons_told(excluded: Sequence[Excluded]) -> str:
    """
    Every reason with its rows and the first of them, for the error where no row is left; what is wrong with each alike is
    told once.

    >>> places = ("'a.csv', row 1: no known shape", "'a.csv', row 2: no known shape", "'a.csv', row 3: empty")
    >>> reasons_told([Excluded(reason="shape", rows=9, places=places)])
    "shape 9 ('a.csv', row 1 and 'a.csv', row 2: no known shape)"
    """
    told = []
    for left_out in excluded:
        places: dict[str, list[str]] = {}
        for place in left_out.places[:_PLACES_TOLD]:
            where, colon, what = place.partition(": ")
            places.setdefault(colon + what, []).append(where)
        first = "; ".join(f"{' and '.join(where)}{what}" for what, where in places.items())
        told.append(f"{left_out.reason} {left_out.rows} ({first})")
    return "; ".join(told)


def shown(text: str, longest: int = _LONGEST) -> str:
    r"""
    A hostile text made storable and printable: shortened, and what is not printable as its escape.

    >>> shown("owl\x1b[2J \ud800"), shown("abcdef", longest=3)
    ('owl\\x1b[2J \\ud800', 'abc…')
    """
    short = text if len(text) <= longest else text[:longest] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)


@dataclass
class PieceFaults:
    """What is wrong with rows, as a reader tells it: the first of each reason, and how many more."""

    told: list[tuple[str, int, str, int, str]] = field(default_factory=list)
    """Reason, number, text, rows and hint."""
    by_reason: Counter[str] = field(default_factory=Counter)
    more: Counter[str] = field(default_factory=Counter)
    """Further rows by reason."""

    def __call__(
        self, reason: str, number: int, text: str, /, rows: int = 1, hint: str = ""
    ) -> None:
        """A fault."""
        self.by_reason[reason] += 1
        if self.by_reason[reason] <= _TOLD or (not number and reason == "damaged"):
            self.told.append((reason, number, text, rows, hint))
        else:
            self.more[reason] += rows
