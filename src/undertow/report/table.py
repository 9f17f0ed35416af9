"""A table of texts, and how one is made from records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from undertow.report.numbers import NOTHING

Record = TypeVar("Record")


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    """Indices of the columns that are aligned to the right."""

    def without(self, *names: str) -> Table:
        """The table without the columns of these names."""
        kept = [index for index, column in enumerate(self.columns) if column not in names]
        return Table(
            self.name,
            tuple(self.columns[index] for index in kept),
            tuple(tuple(row[index] for index in kept) for row in self.rows),
            frozenset(place for place, index in enumerate(kept) if index in self.numeric),
        )


@dataclass(frozen=True)
class Column(Generic[Record]):
    """A column: its name, the text of a record's cell, and whether that is a number."""

    name: str
    cell: Callable[[Record], str]
    numeric: bool = True


def table_of(name: str, records: Sequence[Record], columns: Sequence[Column[Record]]) -> Table:
    """The table without the columns in which no record has anything to say."""
    cells = [[column.cell(record) for record in records] for column in columns]
    kept = [index for index, column in enumerate(cells) if set(column) - {NOTHING}]
    return Table(
        name,
        tuple(columns[index].name for index in kept),
        tuple(zip(*(cells[index] for index in kept), strict=True)),
        frozenset(place for place, index in enumerate(kept) if columns[index].numeric),
    )
