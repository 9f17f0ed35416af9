"""
The two passes over a dataset's rows, a part at a time: what is counted of each part, and the rows of it that were drawn.

`RowPass` and `RowDraw` are the callables for a loop, for processes and for a cluster; `file_sample.screen_file` puts the
parts together in their order. What is drawn is known only once all rows were read, since it hangs on the digest of all of
them: the first pass hands rows over only as long as there may be no more of them than the sample holds, and then the
second one is spared.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from undertow.data.column_names import Renaming
from undertow.data.observations import MOST_UNREAD, Known, RowCounts, row_text
from undertow.data.parquet_file import CHUNK, OnFault, ReadColumns, pass_over
from undertow.data.part_stretches import (
    SHORTEST,
    PartStretches,
    StretchCount,
    Stretches,
    same_records,
)
from undertow.data.records import ALL_COLUMNS, ShardPart, made, part_records, usable
from undertow.data.row_faults import PieceFaults
from undertow.data.row_leaves import LeafList
from undertow.data.row_shapes import plain_shape
from undertow.data.rows import Row
from undertow.data.shard_records import shard_columns
from undertow.errors import DataError

PIECE = 8 * CHUNK
"""Usable rows behind which a reader in this process hands over what it has."""

MOST_NAMES = 1024
"""Sources of a part that are told apart first; the others come behind them."""


Numbered = tuple[int, Row | dict[str, object]]
"""A row, or the columns of a record of which it is made, behind its number."""


@dataclass
class Piece:
    """What a stretch of a part holds. Numbers of rows are those of the part, or of its shard."""

    counts: RowCounts = field(default_factory=RowCounts)
    faults: PieceFaults = field(default_factory=PieceFaults)
    leaves: bytes = b""
    sources: Counter[str] = field(default_factory=Counter)
    """Usable rows of the part's first `MOST_NAMES` sources."""
    further: Counter[str] = field(default_factory=Counter)
    """Of the others, by their names."""
    rows: list[tuple[Numbered, str | None]] | None = field(default_factory=list)
    """The usable ones, each before its source; None where there are more than a sample holds."""
    lines: int = 0
    """Of a part that is numbered by its own lines, at its end: by which the next one's numbers are behind."""
    columns: frozenset[str] | None = None
    """Of the shard, where this is its beginning and others have to have the same."""
    renaming: Renaming | None = None
    """Which of the columns that were given new names were met."""
    stretches: PartStretches | None = None
    """Of the part, where this is its end and nothing ended the reading."""
    error: DataError | None = None
    """What ended the reading."""


@dataclass
class _Memory:
    """What this process has seen of the dataset of one pass."""

    known: Known
    rows: int = 0


@dataclass(frozen=True)
class RowPass:
    """Reads a part; every part of a dataset gets the same one."""

    name: str
    """Of this pass: a process forgets another one."""
    kept: int
    """Rows of a dataset up to which they are handed over."""
    several: bool
    """Whether the dataset has several shards."""
    columns: tuple[tuple[str, str], ...] = ()
    wrapped: bool = False
    stretch: int = SHORTEST
    """Bytes of a part of JSON Lines that are read again for a row among them, about."""

    def __call__(self, part: ShardPart) -> list[Piece]:
        """A part in one piece."""
        with uncollected():
            made = list(self.pieces(part, sys.maxsize))
        for piece in made:
            piece.counts.join()
        return made

    def pieces(self, part: ShardPart, size: int = 0) -> Iterator[Piece]:
        """The same in pieces of so many rows (`PIECE`), one after another."""
        yield from _Reading(self, part).pieces(size or PIECE)


@dataclass(frozen=True)
class Wanted:
    """
    Rows of a part that were drawn, in ascending order: as counted from 0 among the usable ones of the stretches that hold
    them, and among a source's.
    """

    part: ShardPart
    stretches: Stretches
    whole: tuple[int, ...]
    by_source: dict[str, tuple[int, ...]]


Found = tuple[list[Numbered], dict[str, list[Numbered]]]
"""The rows of a `Wanted`, in its order."""


@dataclass(frozen=True)
class RowDraw:
    """Reads stretches of a part again, for the rows of them that were drawn."""

    columns: tuple[tuple[str, str], ...] = ()
    wrapped: bool = False

    def __call__(self, wanted: Wanted) -> Found:
        """
        The rows.

        Raises:
            DataError: a stretch does not hold what it held when it was counted.
        """
        names = Renaming(self.columns) if self.columns else None
        whole, drawn, counts = set(wanted.whole), list[Numbered](), Counter[str]()
        by_source = {
            name: (set(ranks), list[Numbered]()) for name, ranks in wanted.by_source.items()
        }
        records = same_records(wanted.part, wanted.stretches, _columns(names))
        with uncollected():
            for at, (number, look) in enumerate(_looks(records, names, self.wrapped, pass_over)):
                source, row = look[4], look[6]
                if at in whole:
                    drawn.append((number, row))
                if source in by_source:
                    ranks, rows = by_source[source]
                    if counts[source] in ranks:
                        rows.append((number, row))
                    counts[source] += 1
        return drawn, {name: rows for name, (_, rows) in by_source.items()}


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without looking for cycles, which records have none of: it takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


_memories: dict[str, _Memory] = {}


def forget() -> None:
    """Let go of what this process has seen."""
    _memories.clear()


def _memory(task: RowPass) -> _Memory:
    if task.name not in _memories:
        forget()
        _memories[task.name] = _Memory(Known())
    return _memories[task.name]


Look = tuple[
    tuple[str, ...], bool, str, str | None, str | None, tuple[str, ...], Row | dict[str, object]
]
"""
Columns of a row's shape, whether it is chat, its text, its id, its source, the columns that nothing reads, and the row
or those of its record's columns of which it is made.
"""


class _Reading:
    """The reading of one part."""

    def __init__(self, task: RowPass, part: ShardPart) -> None:
        self._task, self._part = task, part
        self._memory = _memory(task)
        self._leaves = LeafList()
        self._names = Renaming(task.columns) if task.columns else None
        self._sources: set[str] = set()
        self._stretches = StretchCount(part, task.stretch)
        self._piece = Piece()

    def pieces(self, size: int) -> Iterator[Piece]:
        """What the part holds, piece by piece."""
        part, block = self._part, list[tuple[int, Look]]()
        try:
            if self._task.several and not part.start:
                self._piece.columns = shard_columns(part.shard)
            for looked in _looks(self._records(), self._names, self._task.wrapped, self._fault):
                block.append(looked)
                if len(block) == CHUNK:
                    self._take(block)
                    block = []
                    if self._piece.counts.rows >= size:
                        yield self._given()
        except DataError as error:
            self._piece.error = error
        if block:
            self._take(block)
        self._piece.lines = self._leaves.lines if part.by_lines else 0
        last = self._given()
        if last.error is None:
            last.stretches = self._stretches.counted()
        yield last

    def _records(self) -> Iterator[tuple[int, object]]:
        columns, layout = _columns(self._names), self._stretches.layout
        return part_records(self._part, self._fault, columns, self._leaves, layout)

    def _fault(self, reason: str, number: int, text: str, /, rows: int = 1, hint: str = "") -> None:
        self._piece.faults(reason, number, text, rows, hint)

    def _given(self) -> Piece:
        piece, self._piece = self._piece, Piece()
        piece.leaves, piece.renaming = self._leaves.given(), self._names
        self._stretches.take_leaves(piece.leaves)
        return piece

    def _take(self, block: Sequence[tuple[int, Look]]) -> None:
        numbers, looks = zip(*block, strict=True)
        shapes, chats, texts, ids, sources, unread, given = zip(*looks, strict=True)
        piece = self._piece
        piece.counts.shapes.update(zip(shapes, chats, strict=True))
        if len(piece.counts.unread) < MOST_UNREAD:
            piece.counts.unread.update(*set(unread))
        piece.counts.take(numbers, texts, ids, self._memory.known)
        self._stretches.take(numbers, sources)
        self._memory.rows += len(block)
        if self._memory.rows > self._task.kept:
            piece.rows = None
        elif piece.rows is not None:
            piece.rows.extend(zip(zip(numbers, given, strict=True), sources, strict=True))
        for name, rows in Counter(name for name in sources if name is not None).items():
            if len(self._sources) < MOST_NAMES:
                self._sources.add(name)
            (piece.sources if name in self._sources else piece.further)[name] += rows


def _columns(names: Renaming | None) -> ReadColumns | None:
    return ALL_COLUMNS if names is None else None


def _looks(
    records: Iterable[tuple[int, object]], names: Renaming | None, wrapped: bool, fault: OnFault
) -> Iterator[tuple[int, Look]]:
    """The usable rows among records, behind their numbers."""

    def look(record: object) -> Look:
        if names is None and not wrapped and (plain := plain_look(record)):
            return plain
        shape, row, id, unread = usable(record, names, wrapped)
        return shape, row.chat, row_text(row), id, row.source, unread, row

    return made(records, look, fault)


def plain_look(record: object) -> Look | None:
    """
    What there is to see of a record that is plainly a usable row, without making it; None for all else, right or wrong.

    >>> plain_look({"text": "a"}), plain_look({"text": " "})
    ((('text',), False, 'text\\n\\na', None, None, (), {'text': 'a'}), None)
    """
    if type(record) is not dict or (plain := plain_shape(tuple(record))) is None:
        return None
    shape, others = plain
    texts = _plain_texts(record, shape)
    source, id = record.get("source"), record.get("id")
    if texts is None or not (source is None or type(source) is str):
        return None
    text = "\n\n".join(texts)
    if not (text.isascii() and (source is None or source.isascii())):
        try:
            (text + (source or "")).encode()
        except UnicodeEncodeError:
            return None
    unread = tuple([name for name in others if record[name] is not None]) if others else ()
    told = f"{type(id).__name__} {id}" if isinstance(id, str | int) else None
    needed = (
        record if len(record) <= 4 else {name: record[name] for name in shape} | {"source": source}
    )
    return shape, shape[0] == "messages", text, told, source, unread, needed


def _plain_texts(record: dict[str, object], shape: tuple[str, ...]) -> list[str] | None:
    """The parts of `row_text`; None where a closer look is needed."""
    if shape[0] != "messages":
        completion, prompt = record[shape[-1]], record.get("prompt", "")
        if type(completion) is not str or type(prompt) is not str or not completion.strip():
            return None
        return [f"user {prompt}", "text", completion] if prompt else ["text", completion]
    turns = record["messages"]
    if type(turns) is not list or not turns:
        return None
    texts: list[str] = []
    role = content = ""
    for turn in turns:
        if type(turn) is not dict or len(turn) != 2:
            return None
        role, content = turn.get("role", 0), turn.get("content", 0)
        if type(role) is not str or type(content) is not str:
            return None
        texts.append(f"{role} {content}")
    if role != "assistant" or not content.strip():
        return None
    texts[-1:] = ("chat", content)
    return texts
