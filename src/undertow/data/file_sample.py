"""
Reads a whole dataset for a screen: every row that cannot be used is named and counted, a uniform sample is kept.

Which rows are drawn hangs on the digest of all of them, in their order, and on the seed: whoever writes rows cannot know
beforehand which of them are looked at, and the same rows in another packing give the same sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from undertow.data.closed import Stored
from undertow.data.column_names import Renaming
from undertow.data.dataset import RowDataset, open_dataset
from undertow.data.observations import Observed
from undertow.data.part_leaves import in_order
from undertow.data.part_stretches import PartStretches, stretch_size
from undertow.data.records import ShardPart, chunks, parts, whole_shards
from undertow.data.row_faults import Excluded, Faults, reasons_told, shown
from undertow.data.row_leaves import RunningRoot, running_root
from undertow.data.row_pass import (
    Found,
    Numbered,
    Piece,
    RowDraw,
    RowPass,
    Wanted,
    forget,
    uncollected,
)
from undertow.data.row_shapes import from_record
from undertow.data.rows import Row
from undertow.data.seeds import generator
from undertow.data.shard import Shard
from undertow.data.shard_records import other_schema
from undertow.errors import NothingLeftError

Placed = tuple[Shard, int, Row | dict[str, object]]
"""A row, or what it is made of, behind its shard and its number in it."""

SOURCES = 64
"""Sources that are judged one by one, the first in the file; the rest are counted together."""

_NAMED = 3
_SHOWN = 60
"""Characters of a source's name in a note."""


@dataclass
class SourceCounts:
    """Usable rows of each of the first SOURCES sources, and of the others together."""

    rows: Counter[str] = field(default_factory=Counter)
    further: int = 0
    """Rows of the sources behind the first."""
    further_names: list[str] = field(default_factory=list)
    """The first of those."""

    def take(self, piece: Piece) -> Counter[str]:
        """The next rows; those of them that are of the first sources, by source."""
        ours = Counter[str]()
        for name, rows in (*piece.sources.items(), *piece.further.items()):
            if name in self.rows or len(self.rows) < SOURCES:
                ours[name] += rows
                self.rows[name] += rows
            else:
                self._pass_over(name, rows)
        return ours

    def notes(self, rows: int) -> list[str]:
        """Which of the file's `rows` usable rows belong to no source that is sampled."""
        notes = []
        if self.further:
            names = ", ".join(f"'{name}'" for name in self.further_names)
            notes.append(
                f"more than {SOURCES} sources: the first {SOURCES} are judged one by one; {self.further} rows of "
                f"further ones ({names}, …) are counted together"
            )
        without = rows - self.further - self.rows.total()
        if self.rows and without:
            notes.append(f"{without} of {rows} rows name no source")
        return notes

    def _pass_over(self, name: str, rows: int) -> None:
        self.further += rows
        short = shown(name, longest=_SHOWN)
        if len(self.further_names) < _NAMED and short not in self.further_names:
            self.further_names.append(short)


Spread = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]
"""How a worker comes to tasks, as an engine's `map`: (index of the task, result) as they finish."""


class Data(Stored):
    """The dataset that was screened."""

    path: str
    """As it was named: a file, a folder, a pattern, a URL, a name on the hub."""
    digest: str | None
    """Root over its records' leaves in their order (`rowMerkle` of statements), however they are packed."""
    rows: int
    """Usable rows."""
    sampled: int
    """Rows that model checks saw, drawn uniformly."""
    sources: dict[str, int] = Field(default_factory=dict)
    """Usable rows by source."""
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader should know of the rows: control characters, duplicate ids, many shapes."""
    unread: tuple[str, ...] = ()
    """Columns that hold something and that nothing reads, the first of them in the order of their names."""
    columns: tuple[tuple[str, str], ...] = ()
    """Names that a shape has for columns, each with the column's own name, as they were given."""


@dataclass(frozen=True)
class Screened:
    """What a screen keeps of a dataset."""

    rows: tuple[Row, ...]
    """A uniform sample of the usable rows, in an order drawn at random: any first part is a uniform sample as well."""
    by_source: dict[str, tuple[Row, ...]]
    """A uniform sample of each source's rows, likewise."""
    data: Data
    places: tuple[str, ...] = ()
    """Shard and row of each of `rows`."""
    way: str = ""
    """What to do about most of the rows that cannot be used; empty where there are none."""


def screen_file(
    data: str | Path | RowDataset,
    *,
    max_rows: int = 8192,
    seed: int,
    max_rows_a_source: int | None = None,
    spread: Spread | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Screened:
    """
    Read a dataset, its parts in this process or as they are `spread`, to the same result.

    Where it has more than `max_rows` usable rows, the stretches that hold a drawn one are read a second time. Memory does
    not grow with the rows in this process, and with those of the largest part in another. `max_rows` are drawn of the file
    and, unless another number is given, of each source. `progress` gets the number of usable rows counted so far.

    Raises:
        DataError: there is no such dataset, a shard is cut off or another schema, or what is read twice changed between.
        NothingLeftError: no row can be used.
    """
    dataset = data if isinstance(data, RowDataset) else open_dataset(data)
    every = [part for shard in dataset.shards for part in parts(shard)]
    if len(every) == 1:
        spread = None
    several, size = len(dataset.shards) > 1, stretch_size(every)
    task = RowPass(uuid4().hex, max_rows, several, dataset.columns, dataset.wrapped, size)
    try:
        with running_root(len(every) if spread else 1) as digest, uncollected():
            whole = _Whole(dataset, max_rows, digest)
            for part, piece in _pieces(task, every, spread):
                whole.take(part, piece)
                progress(whole.observed.counts.rows)
            return whole.screened(seed, max_rows_a_source or max_rows, spread)
    finally:
        forget()


def _pieces(
    task: RowPass, every: Sequence[ShardPart], spread: Spread | None
) -> Iterator[tuple[ShardPart, Piece]]:
    """The pieces of all parts in their order, whatever the order in which they are read."""
    each = map(task.pieces, every) if spread is None else in_order(spread(task, every))
    for part, pieces in zip(every, each, strict=True):
        yield from ((part, piece) for piece in pieces)


Draws = NDArray[np.int64]
"""(drawn,) different places among some rows, counted from 0, in the order in which they were drawn."""


def drawn(rows: int, most: int, seed: int, digest: str, *names: str) -> Draws:
    """
    At most so many places among so many rows, uniformly and without replacement, as the seed and the digest say: any first
    part of them is a uniform sample as well.
    """
    return generator(seed, *names, digest).choice(rows, min(rows, most), replace=False)


@dataclass
class _Counted:
    """What was counted of a part."""

    part: ShardPart
    before: int
    """Lines of its shard in front of it, where its rows are numbered from its own first line."""
    rows: int = 0
    """Usable ones."""
    sources: Counter[str] = field(default_factory=Counter)
    stretches: PartStretches | None = None


class _Whole:
    """What was read of a dataset so far, put together in its order."""

    def __init__(self, dataset: RowDataset, max_rows: int, digest: RunningRoot) -> None:
        self.observed = Observed()
        self._dataset, self._max_rows = dataset, max_rows
        self._sources = SourceCounts()
        self._counted: list[_Counted] = []
        self._held: list[tuple[Placed, str | None]] | None = []
        """All usable rows, each before its source, as long as they are no more than are drawn."""
        self._faults = Faults(_called(dataset))
        self._digest = digest
        self._names = Renaming(dataset.columns)
        self._before = 0
        """Lines of the shard in front of the part."""
        self._shard: Shard | None = None
        self._columns: tuple[Shard, frozenset[str]] | None = None

    def take(self, part: ShardPart, piece: Piece) -> None:
        """The next piece."""
        shard = part.shard
        if shard is not self._shard and shard != self._shard:
            self._shard, self._before = shard, 0
        before = self._before if part.by_lines else 0
        if not self._counted or self._counted[-1].part is not part:
            self._counted.append(_Counted(part, before))
        self._refuse_other(shard, piece.columns)
        self._take_faults(shard, piece, before)
        if piece.error is not None:
            raise piece.error
        counted = self._counted[-1]
        counted.rows += piece.counts.rows
        counted.sources += self._sources.take(piece)
        if piece.stretches is not None:
            counted.stretches = piece.stretches.of(counted.sources)
        self._hold(counted, piece)
        self.observed.take(piece.counts, before)
        self._digest.extend(piece.leaves)
        if piece.renaming is not None:
            self._names.join(piece.renaming)
        self._before += piece.lines

    def _hold(self, counted: _Counted, piece: Piece) -> None:
        if self._held is None or piece.rows is None:
            self._held = None
            return
        self._held += [(_placed(counted, item), source) for item, source in piece.rows]
        if len(self._held) > self._max_rows:
            self._held = None

    def _rows(
        self, whole: Draws, by_source: dict[str, Draws], spread: Spread | None
    ) -> tuple[list[Placed], dict[str, list[Placed]]]:
        """The rows at these places among all and among each source's, in this order."""
        if self._held is not None:
            own = {name: [row for row, of in self._held if of == name] for name in by_source}
            ours = {name: [own[name][i] for i in places] for name, places in by_source.items()}
            return [self._held[i][0] for i in whole], ours
        rows_again = list[Placed]()
        by_source_again: dict[str, list[Placed]] = {name: [] for name in by_source}
        for counted, (rows, own_rows) in self._read_again(whole, by_source, spread):
            rows_again += [_placed(counted, item) for item in rows]
            for name, items in own_rows.items():
                by_source_again[name] += [_placed(counted, item) for item in items]
        return (
            _as_drawn(rows_again, whole),
            {name: _as_drawn(by_source_again[name], places) for name, places in by_source.items()},
        )

    def _read_again(
        self, whole: Draws, by_source: dict[str, Draws], spread: Spread | None
    ) -> Iterator[tuple[_Counted, Found]]:
        """What is found in each part that holds some of the rows, in their order."""
        before, before_of = 0, Counter[str]()
        ordered, ordered_of = np.sort(whole), {n: np.sort(d) for n, d in by_source.items()}
        asked = list[tuple[_Counted, Wanted]]()
        for counted in self._counted:
            ours = _between(ordered, before, counted.rows)
            of_sources = {
                name: places
                for name, rows in counted.sources.items()
                if (places := _between(ordered_of[name], before_of[name], rows))
            }
            before += counted.rows
            before_of += counted.sources
            if ours or of_sources:
                assert counted.stretches is not None  # a part that has rows was read to its end
                held = counted.stretches.holding(ours, of_sources)
                asked.append((counted, Wanted(counted.part, *held)))
        task, wanted = RowDraw(self._dataset.columns, self._dataset.wrapped), [w for _, w in asked]
        each = map(task, wanted) if spread is None else in_order(spread(task, wanted))
        yield from zip([counted for counted, _ in asked], each, strict=True)

    def screened(self, seed: int, a_source: int, spread: Spread | None) -> Screened:
        """All of it, and what is drawn of it."""
        if self._dataset.columns and not self._dataset.columns_optional:
            self._names.refuse_unmet(self._dataset.reference)
        observed, rows = self.observed, self.observed.counts.rows
        if not rows:
            raise _nothing_usable(self._faults)
        digest = self._digest.hexdigest()
        kept, by_source = self._rows(
            drawn(rows, self._max_rows, seed, digest, "whole"),
            {
                name: drawn(own, a_source, seed, digest, "source", name)
                for name, own in self._sources.rows.items()
            },
            spread,
        )
        notes = (*self._dataset.notes, *observed.notes(), *self._sources.notes(rows))
        described = Data(
            path=shown(self._dataset.reference, longest=4096),
            digest=digest,
            rows=rows,
            sampled=len(kept),
            sources=dict(self._sources.rows),
            excluded=self._faults.excluded(),
            notes=tuple(shown(note, longest=4096) for note in notes),
            unread=tuple(shown(name, longest=_SHOWN) for name in sorted(observed.counts.unread)),
            columns=self._dataset.columns,
        )
        return Screened(
            _made(kept),
            {name: _made(placed) for name, placed in by_source.items()},
            described,
            tuple(shown(f"{shard.named}, row {number}") for shard, number, _ in kept),
            self._faults.hint() if self._faults.counts else "",
        )

    def _refuse_other(self, shard: Shard, columns: frozenset[str] | None) -> None:
        if columns is None:
            return
        self._columns = self._columns or (shard, columns)
        if columns != self._columns[1]:
            raise other_schema(shard, columns, *self._columns)

    def _take_faults(self, shard: Shard, piece: Piece, before: int) -> None:
        fault = self._faults.of(shard)
        if len(self._dataset.shards) > 1:
            fault = whole_shards(shard, fault)
        for reason, number, text, rows, hint in piece.faults.told:
            fault(reason, number and number + before, text, rows, hint)
        self._faults.counts.update(piece.faults.more)


def _made(placed: Sequence[Placed]) -> tuple[Row, ...]:
    return tuple([row if isinstance(row, Row) else from_record(row) for _, _, row in placed])


def _placed(counted: _Counted, item: Numbered) -> Placed:
    return counted.part.shard, item[0] + counted.before, item[1]


def _between(ordered: Draws, first: int, rows: int) -> tuple[int, ...]:
    """Those of some ascending places that are among so many rows behind the first, counted from there."""
    start, stop = np.searchsorted(ordered, (first, first + rows))
    return tuple((ordered[start:stop] - first).tolist())


def _as_drawn(placed: Sequence[Placed], places: Draws) -> list[Placed]:
    """Rows that lie in the order of the dataset, in that in which their places were drawn."""
    return [placed[i] for i in np.argsort(np.argsort(places))]


def each_usable_row(data: str | Path | RowDataset, take: Callable[[Row], None]) -> None:
    """
    Read a dataset again and hand over every row that `screen_file` would count, in order; the others are passed over.

    Raises:
        DataError: there is no such dataset, or a shard is cut off or another schema.
    """
    dataset = data if isinstance(data, RowDataset) else open_dataset(data)
    for chunk in chunks(dataset, Faults(dataset.reference).of):
        for row in chunk.rows:
            take(row)


def _called(dataset: RowDataset) -> str:
    return dataset.shards[0].named if len(dataset.shards) == 1 else f"'{dataset.reference}'"


def _nothing_usable(faults: Faults) -> NothingLeftError:
    """The error where no row can be used: every reason with its rows, the first of them, and what to do."""
    told = reasons_told(faults.excluded())
    return NothingLeftError(
        f"no row of {shown(faults.file)} can be used: {told or 'it holds no rows'}",
        hint=faults.hint(),
    )
