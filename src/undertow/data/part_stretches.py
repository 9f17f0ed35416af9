"""
The stretches of a part: where they lie, what they held when they were counted, and how many usable rows each has.

A part that is numbered by its lines (JSON Lines) is told apart into stretches of some KiB while it is counted. Of the rows that
are drawn behind that only the stretches are read again that hold one, each by its bytes alone, and held against its leaves.
What can only be read from its beginning, and a row group of Parquet, is one stretch: the whole part.
"""

from __future__ import annotations

import hashlib
import io
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.data.json_records import LONGEST_LINE, LineLayout, bounded_lines
from undertow.data.parquet_file import CHUNK, ReadColumns, pass_over
from undertow.data.records import ShardPart, part_records
from undertow.data.row_leaves import SIZE, LeafList
from undertow.data.shard import shard_ranges
from undertow.data.shard_records import leafed_lines
from undertow.errors import DataError

MOST = 1 << 19
"""Stretches of a dataset, about: what is known of them, 40 bytes each, is kept where the parts are put together."""

SHORTEST = 1 << 10
"""Bytes of a stretch, about: telling shorter ones apart takes longer than reading them."""

_NAMED = 128
"""Sources of a part whose rows are counted by stretches, its first; for a row of another one all of it is read again."""

_OTHER = (1 << 16) - 1
"""Stands for a source that is not counted, and for none."""

Numbers = NDArray[np.unsignedinteger[Any]]
"""Of no more bytes than the largest needs."""

Places = Sequence[int] | NDArray[np.int64]
"""Of rows, ascending, from 0."""


def stretch_size(every: Sequence[ShardPart]) -> int:
    """Bytes of a stretch of a dataset of these parts: they are longer in a large one, not more."""
    lines = sum(part.within[1] - part.start for part in every if part.within and part.by_lines)
    return max(SHORTEST, -(-lines // MOST))


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """Some stretches of a part, in their order."""

    digests: bytes
    """SHA-256 of the leaves of each when it was counted, one behind the other; 32 bytes each."""
    begins: Numbers
    """(stretches,) first byte of each, behind the part's."""
    sizes: Numbers
    """(stretches,) bytes of each."""
    lines: Numbers
    """(stretches,) lines of the part in front of each."""
    divided: bool = True
    """Whether they are read by their bytes; if not, there is one, and it is the part."""

    def only(self, wanted: NDArray[np.bool_]) -> Stretches:
        """Those of them, of shape (stretches,)."""
        digests = np.frombuffer(self.digests, np.uint8).reshape(-1, SIZE)[wanted].tobytes()
        return replace(
            self,
            digests=digests,
            begins=self.begins[wanted],
            sizes=self.sizes[wanted],
            lines=self.lines[wanted],
        )


@dataclass(frozen=True, slots=True, eq=False)
class PartStretches:
    """All stretches of a part, and how many usable rows each has."""

    stretches: Stretches
    rows: Numbers
    """(stretches,)."""
    sources: tuple[str, ...] = ()
    by_source: Numbers | None = None
    """(sources, stretches); None of a part that is one stretch."""

    def of(self, sources: Collection[str]) -> PartStretches:
        """The same, and of sources only these."""
        if self.by_source is None or all(name in sources for name in self.sources):
            return self
        named = [at for at, name in enumerate(self.sources) if name in sources]
        return replace(
            self,
            sources=tuple([self.sources[at] for at in named]),
            by_source=self.by_source[named],
        )

    def holding(
        self, whole: Places, by_source: Mapping[str, Places]
    ) -> tuple[Stretches, tuple[int, ...], dict[str, tuple[int, ...]]]:
        """
        The stretches that hold the rows at these places among the part's usable ones, and among those of each source; and
        the places among those of these stretches alone.
        """
        counts = (
            {} if self.by_source is None else dict(zip(self.sources, self.by_source, strict=True))
        )
        known = [(places, counts[name]) for name, places in by_source.items() if name in counts]
        wanted = np.full(len(self.rows), len(known) < len(by_source))
        for places, rows in ((whole, self.rows), *known):
            wanted[_stretch_of(places, rows)] = True
        return (
            self.stretches.only(wanted),
            _among(whole, self.rows, wanted),
            {
                name: _among(places, counts[name], wanted) if name in counts else tuple(places)
                for name, places in by_source.items()
            },
        )


class StretchCount:
    """What there is to know of a part's stretches, as its usable rows are counted."""

    def __init__(self, part: ShardPart, size: int) -> None:
        """Nothing yet; a stretch is to have about so many bytes."""
        self.layout = LineLayout() if part.by_lines else None
        self._start, self._size = part.start, size
        self._rows = 0
        self._numbers, self._columns = array("I"), array("H")
        self._leaves = list[bytes]()
        self._digest = hashlib.sha256()
        self._named: dict[str | None, int] = {}

    def take(self, numbers: Sequence[int], sources: Sequence[str | None]) -> None:
        """The next usable rows: their lines, and whose they are."""
        self._rows += len(numbers)
        if self.layout is None:
            return
        self._numbers.extend(numbers)
        for name in dict.fromkeys(sources):
            if name is not None and len(self._named) < _NAMED:
                self._named.setdefault(name, len(self._named))
        self._columns.extend(map(self._named.get, sources, repeat(_OTHER)))

    def take_leaves(self, leaves: bytes) -> None:
        """The next leaves, of all records."""
        if self.layout is None:
            self._digest.update(leaves)
        else:
            self._leaves.append(leaves)

    def counted(self) -> PartStretches:
        """What came of it, when the part was read."""
        leaves, layout = b"".join(self._leaves), self.layout
        # A line of any length is read in blocks and never held: not what a stretch, which is held, should have.
        if layout is None or not layout.sizes or max(layout.sizes) > LONGEST_LINE:
            self._digest.update(leaves)
            none, rows = _numbers([0]), _numbers([self._rows])
            return PartStretches(
                Stretches(self._digest.digest(), none, none, none, divided=False), rows
            )
        return self._told_apart(layout, leaves)

    def _told_apart(self, layout: LineLayout, leaves: bytes) -> PartStretches:
        ends = np.cumsum(np.asarray(layout.sizes, np.int64) + 1)
        begins = np.concatenate(([0], ends[:-1]))
        cells = begins // self._size
        lines = np.flatnonzero(np.concatenate(([True], cells[1:] != cells[:-1])))
        stops = np.concatenate((begins[lines[1:]], [ends[-1] - 1]))
        stretch = np.searchsorted(lines, np.asarray(self._numbers, np.int64) - 1, "right") - 1
        some, columns = len(lines), len(self._named)
        of = np.minimum(np.asarray(self._columns, np.int64), columns) + stretch * (columns + 1)
        by_source = np.bincount(of, minlength=some * (columns + 1)).reshape(some, columns + 1)
        places = Stretches(
            _digests(leaves, lines - np.searchsorted(np.asarray(layout.blank), lines, "right")),
            _numbers(begins[lines] + (layout.first - self._start)),
            _numbers(stops - begins[lines]),
            _numbers(lines),
        )
        rows = _numbers(np.bincount(stretch, minlength=some))
        named = tuple([name for name in self._named if name is not None])
        return PartStretches(places, rows, named, _numbers(by_source[:, :columns].T))


def same_records(
    part: ShardPart, stretches: Stretches, columns: ReadColumns | None
) -> Iterator[tuple[int, object]]:
    """
    The records of stretches of a part behind their numbers in it, held against their leaves when all were given.

    Raises:
        DataError: a stretch does not hold what it held when it was counted, or cannot be read.
    """
    leaves = LeafList()
    for at, numbered in enumerate(_each_stretch(part, stretches, columns, leaves)):
        digest = hashlib.sha256()
        for done, numbered_record in enumerate(numbered):
            yield numbered_record
            if done % CHUNK == 0:
                digest.update(leaves.given())
        digest.update(leaves.given())
        if digest.digest() != stretches.digests[SIZE * at : SIZE * (at + 1)]:
            raise DataError(
                f"{part.shard.named} changed while it was read",
                hint="scan it when nobody writes to it, or scan a copy",
            )


def _each_stretch(
    part: ShardPart, stretches: Stretches, columns: ReadColumns | None, leaves: LeafList
) -> Iterator[Iterable[tuple[int, object]]]:
    if not stretches.divided:
        yield part_records(part, pass_over, columns, leaves)
        return
    begins = [part.start + int(begin) for begin in stretches.begins]
    ranges = [(at, at + int(size)) for at, size in zip(begins, stretches.sizes, strict=True)]
    contents = shard_ranges(part.shard, ranges)
    for begin, before, content in zip(begins, stretches.lines, contents, strict=True):
        lines = bounded_lines(io.BytesIO(content))
        yield _behind(int(before), leafed_lines(lines, pass_over, leaves, mark=not begin))


def _behind(before: int, numbered: Iterable[tuple[int, object]]) -> Iterator[tuple[int, object]]:
    for number, record in numbered:
        yield before + number, record


def _digests(leaves: bytes, first: NDArray[np.int64]) -> bytes:
    """SHA-256 of the leaves from each of these on, up to the next."""
    view, cuts = memoryview(leaves), [*(first * SIZE).tolist(), len(leaves)]
    return b"".join([hashlib.sha256(view[at:stop]).digest() for at, stop in pairwise(cuts)])


def _numbers(values: Any) -> Numbers:
    array_of = np.asarray(values)
    return array_of.astype(np.min_scalar_type(int(array_of.max(initial=0))), order="C")


def _stretch_of(places: Places, rows: Numbers) -> NDArray[np.int64]:
    """(places,) which stretch holds each of these rows, where each has so many."""
    return np.searchsorted(_before(rows), np.asarray(places, np.int64), "right") - 1


def _before(rows: NDArray[Any]) -> NDArray[np.int64]:
    """(stretches,) rows in front of each."""
    before: NDArray[np.int64] = np.cumsum(rows, dtype=np.int64) - rows
    return before


def _among(places: Places, rows: Numbers, wanted: NDArray[np.bool_]) -> tuple[int, ...]:
    """Places among the rows of the wanted stretches, of those among the rows of all."""
    at = _stretch_of(places, rows)
    moved = _before(np.where(wanted, rows, 0)) - _before(rows)
    return tuple((np.asarray(places, np.int64) + moved[at]).tolist())
