"""
The rows of each source in a stream: counted and sampled, in memory that hostile labels cannot fill.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from undertow.data.faults import shown
from undertow.data.reservoir import Reservoir
from undertow.data.rows import Row
from undertow.data.streams import generator

Numbered = tuple[int, Row]
"""A row behind its number in the file."""

SOURCES = 64
"""Sources that are judged one by one, the first in the file; the rest are counted together."""

_NAMED = 3
_SHOWN = 60
"""Characters of a source's name in a note."""


@dataclass
class SourceSamples:
    """A reservoir of at most `size` rows for each of the first SOURCES sources."""

    size: int
    seed: int
    own: dict[str, Reservoir[Numbered]] = field(default_factory=dict)
    further: int = 0
    """Rows of the sources behind the first."""
    further_names: list[str] = field(default_factory=list)
    """The first of those."""

    def extend(self, rows: list[Numbered]) -> None:
        """Take the next rows of the stream; those without a source are passed over."""
        groups: dict[str, list[Numbered]] = defaultdict(list)
        for each in rows:
            if each[1].source is not None:
                groups[each[1].source].append(each)
        for name, group in groups.items():
            if name not in self.own and len(self.own) >= SOURCES:
                self._pass_over(name, len(group))
                continue
            if name not in self.own:
                self.own[name] = Reservoir(self.size, generator(self.seed, "source", name))
            self.own[name].extend(group)

    def counts(self) -> dict[str, int]:
        """Rows of each source that is sampled."""
        return {name: each.seen for name, each in self.own.items()}

    def samples(self) -> dict[str, tuple[Row, ...]]:
        """A uniform sample of each source's rows, in an order drawn at random."""
        return {name: tuple(row for _, row in each.sample()) for name, each in self.own.items()}

    def notes(self, rows: int) -> list[str]:
        """Which of the file's `rows` usable rows belong to no source that is sampled."""
        notes = []
        if self.further:
            names = ", ".join(f"'{name}'" for name in self.further_names)
            notes.append(
                f"more than {SOURCES} sources: the first {SOURCES} are judged one by one; {self.further} rows of "
                f"further ones ({names}, …) are counted together"
            )
        without = rows - self.further - sum(self.counts().values())
        if self.own and without:
            notes.append(f"{without} of {rows} rows name no source")
        return notes

    def _pass_over(self, name: str, rows: int) -> None:
        self.further += rows
        short = shown(name, longest=_SHOWN)
        if len(self.further_names) < _NAMED and short not in self.further_names:
            self.further_names.append(short)
