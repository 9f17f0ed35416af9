"""Reads a whole dataset for a screen: every row that cannot be used is named and counted, a uniform sample is kept."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import numpy as np
from pydantic import Field

from undertow.data.closed import Stored
from undertow.data.column_names import Renaming
from undertow.data.dataset import RowDataset, open_dataset
from undertow.data.observations import Observed
from undertow.data.part_leaves import in_order
from undertow.data.records import ShardPart, chunks, parts, whole_shards
from undertow.data.row_faults import Excluded, Faults, reasons_told, shown
from undertow.data.row_leaves import RunningRoot, running_root
from undertow.data.row_pass import PackedRows, Piece, RowPass, forget, uncollected, unpacked
from undertow.data.row_shapes import from_record
from undertow.data.rows import Row
from undertow.data.seeds import LowestKeys, generator
from undertow.data.shard import Shard
from undertow.data.shard_records import other_schema
from undertow.errors import NothingLeftError

Placed = tuple[Shard, int, bytes]
"""What a row is made of, behind its shard and its number in it."""

SOURCES = 64
"""Sources that are judged one by one, the first in the file; the rest are counted together."""

_NAMED = 3
_SHOWN = 60
"""Characters of a source's name in a note."""


@dataclass
class SourceSamples:
    """A uniform sample of at most `size` rows of each of the first SOURCES sources."""

    size: int
    seed: int
    sampled: dict[str, LowestKeys[Placed]] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    """Of each of them."""
    further: int = 0
    """Rows of the sources behind the first."""
    further_names: list[str] = field(default_factory=list)
    """The first of those."""

    def take(self, piece: Piece, shard: Shard, before: int) -> None:
        """The next rows, their numbers behind `before` others of the shard; those without a source are passed over."""
        for name, rows in (*piece.sources.items(), *piece.further.items()):
            if name not in self.sampled and len(self.sampled) >= SOURCES:
                self._pass_over(name, rows)
                continue
            self.rows[name] += rows
            ours = self.sampled.setdefault(name, LowestKeys(self.size))
            if name in piece.by_source:
                _add(ours, piece.by_source[name], shard, before)

    def counts(self) -> dict[str, int]:
        """Rows of each source that is sampled."""
        return dict(self.rows)

    def samples(self) -> dict[str, tuple[Row, ...]]:
        """A uniform sample of each source's rows, in an order drawn at random."""
        return {
            name: _rows(lowest.sample(_order(self.seed, "source", name)))
            for name, lowest in self.sampled.items()
        }

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
        if self.sampled and without:
            notes.append(f"{without} of {rows} rows name no source")
        return notes

    def _pass_over(self, name: str, rows: int) -> None:
        self.further += rows
        short = shown(name, longest=_SHOWN)
        if len(self.further_names) < _NAMED and short not in self.further_names:
            self.further_names.append(short)


Named = tuple[str, ShardPart]
"""A part behind the name of its random stream."""

Spread = Callable[[RowPass, Sequence[Named]], Iterator[tuple[int, list[Piece]]]]
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
    Read a dataset once, its parts in this process or as they are `spread`, to the same result.

    Memory does not grow with the number of rows in this process, and with those of the largest part in another. `max_rows`
    are kept of the file and, unless another number is given, of each source; both at least 1. `progress` gets the number
    of usable rows so far.

    Raises:
        DataError: there is no such dataset, or a shard is cut off or another schema.
        NothingLeftError: no row can be used.
    """
    dataset = data if isinstance(data, RowDataset) else open_dataset(data)
    a_source = max_rows_a_source or max_rows
    named = _named_parts(dataset)
    several = len(dataset.shards) > 1
    task = RowPass(uuid4().hex, seed, max_rows, a_source, several, dataset.columns, dataset.wrapped)
    try:
        with running_root(len(named) if spread else 1) as digest, uncollected():
            whole = _Whole(dataset, max_rows, SourceSamples(a_source, seed), digest)
            for part, piece in _pieces(task, named, spread):
                whole.take(part, piece)
                progress(whole.observed.counts.rows)
            return whole.screened(seed)
    finally:
        forget()


def _named_parts(dataset: RowDataset) -> list[Named]:
    """All parts, in their order; a shard is called by its path below what all have in common."""
    paths = [shard.path for shard in dataset.shards]
    top = len(paths[0]) if len(paths) == 1 else os.path.commonprefix(paths).rfind("/") + 1  # noqa: RUF071 - URLs too
    return [
        (f"{shard.path[top:]} {part.start}", part)
        for shard in dataset.shards
        for part in parts(shard)
    ]


def _pieces(
    task: RowPass, named: Sequence[Named], spread: Spread | None
) -> Iterator[tuple[ShardPart, Piece]]:
    """The pieces of all parts in their order, whatever the order in which they are read."""
    if spread is None or len(named) == 1:
        for each in named:
            yield from ((each[1], piece) for piece in task.pieces(each))
        return
    for each, pieces in zip(named, in_order(spread(task, named)), strict=True):
        yield from ((each[1], piece) for piece in pieces)


class _Whole:
    """What was read of a dataset so far, put together in its order."""

    def __init__(
        self, dataset: RowDataset, max_rows: int, sources: SourceSamples, digest: RunningRoot
    ) -> None:
        self.observed = Observed()
        self._dataset = dataset
        self._sources = sources
        self._sample: LowestKeys[Placed] = LowestKeys(max_rows)
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
        self._refuse_other(shard, piece.columns)
        self._take_faults(shard, piece, before)
        if piece.error is not None:
            raise piece.error
        if piece.sampled is not None:
            _add(self._sample, piece.sampled, shard, before)
        self._sources.take(piece, shard, before)
        self.observed.take(piece.counts, before)
        self._digest.extend(piece.leaves)
        if piece.renaming is not None:
            self._names.join(piece.renaming)
        self._before += piece.lines

    def screened(self, seed: int) -> Screened:
        """All of it."""
        if self._dataset.columns and not self._dataset.columns_optional:
            self._names.refuse_unmet(self._dataset.reference)
        observed, rows = self.observed, self.observed.counts.rows
        if not rows:
            raise _nothing_usable(self._faults)
        kept = self._sample.sample(_order(seed, "whole"))
        notes = (*self._dataset.notes, *observed.notes(), *self._sources.notes(rows))
        described = Data(
            path=shown(self._dataset.reference, longest=4096),
            digest=self._digest.hexdigest(),
            rows=rows,
            sampled=len(kept),
            sources=self._sources.counts(),
            excluded=self._faults.excluded(),
            notes=tuple(shown(note, longest=4096) for note in notes),
            unread=tuple(shown(name, longest=_SHOWN) for name in sorted(observed.counts.unread)),
            columns=self._dataset.columns,
        )
        return Screened(
            _rows(kept),
            self._sources.samples(),
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


def _add(sample: LowestKeys[Placed], rows: PackedRows, shard: Shard, before: int) -> None:
    keys, wanted = rows.below(sample.limit)
    sample.add(keys, [(shard, number + before, row) for number, row in wanted])


def _rows(placed: Sequence[Placed]) -> tuple[Row, ...]:
    made = (unpacked(row) for _, _, row in placed)
    return tuple([row if isinstance(row, Row) else from_record(row) for row in made])


def _order(seed: int, *names: str) -> np.random.Generator:
    return generator(seed, *names).spawn(1)[0]


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
