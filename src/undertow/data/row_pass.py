"""
One pass over a dataset's rows, a part at a time: what is counted of each part, and the rows of it that a sample may need.

`RowPass` is the one callable for a loop, for processes and for a cluster; `file_sample.screen_file` puts the parts
together in their order. A row's random key comes of its content, so that the sample depends neither on who reads which
part nor on how the rows are packed. Copies of a row within `CHUNK` rows have keys of their own, from a stream that is
named by the part: a row that is there often is in the sample as often as its share, and not always or never.
What a process has seen already only spares what no whole can need: a row is left out where as many rows with lower keys
are known as the sample holds.
"""

from __future__ import annotations

import contextlib
import gc
import pickle
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from undertow.data.column_names import Renaming
from undertow.data.observations import MOST_UNREAD, Known, RowCounts, row_text
from undertow.data.parquet_file import CHUNK
from undertow.data.records import ALL_COLUMNS, ShardPart, made, part_records, usable
from undertow.data.row_faults import PieceFaults
from undertow.data.row_leaves import LeafList
from undertow.data.row_shapes import plain_shape
from undertow.data.rows import Row
from undertow.data.seeds import Keys, LowestKeys, derive, keyed
from undertow.data.shard_records import shard_columns
from undertow.errors import DataError

PIECE = 8 * CHUNK
"""Usable rows behind which a reader in this process hands over what it has."""

MOST_NAMES = 1024
"""Sources of a part of which samples are taken; more are counted together."""

_KEPT_SOURCES = 256
"""Sources of which a process remembers what it has seen."""


Numbered = tuple[int, Row | dict[str, object]]
"""A row, or the columns of a record of which it is made, behind its number."""


@dataclass(frozen=True)
class PackedRows:
    """Rows that a sample may need, as bytes: who puts the pieces together makes none that no sample holds in the end."""

    keys: Keys
    numbers: NDArray[np.int64]
    ends: NDArray[np.int64]
    """Of each row in the bytes."""
    packed: bytes

    @classmethod
    def of(cls, lowest: LowestKeys[Numbered]) -> PackedRows:
        """Those with the lowest keys."""
        keys, items = lowest.lowest()
        texts = [pickle.dumps(row, protocol=5) for _, row in items]
        ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
        return cls(keys, np.array([number for number, _ in items], np.int64), ends, b"".join(texts))

    def below(self, limit: np.uint64) -> tuple[Keys, list[tuple[int, bytes]]]:
        """The keys up to a limit, and their rows behind their numbers."""
        wanted = np.flatnonzero(self.keys <= limit)
        ends = self.ends[wanted].tolist()
        starts = np.append(0, self.ends)[wanted].tolist()
        numbers = self.numbers[wanted].tolist()
        rows = [self.packed[start:end] for start, end in zip(starts, ends, strict=True)]
        return self.keys[wanted], list(zip(numbers, rows, strict=True))


def unpacked(row: bytes) -> Row | dict[str, object]:
    """A row of `PackedRows`, or the columns of which it is made."""
    made: Row | dict[str, object] = pickle.loads(row)
    return made


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
    sampled: PackedRows | None = None
    by_source: dict[str, PackedRows] = field(default_factory=dict)
    lines: int = 0
    """Of a part that is numbered by its own lines, at its end: by which the next one's numbers are behind."""
    columns: frozenset[str] | None = None
    """Of the shard, where this is its beginning and others have to have the same."""
    renaming: Renaming | None = None
    """Which of the columns that were given new names were met."""
    error: DataError | None = None
    """What ended the reading."""


@dataclass
class _Memory:
    """What this process has seen of the dataset of one pass."""

    known: Known
    sampled: LowestKeys[None]
    by_source: dict[str, LowestKeys[None]] = field(default_factory=dict)


@dataclass(frozen=True)
class RowPass:
    """Reads a part; every part of a dataset gets the same one."""

    name: str
    """Of this pass: a process forgets another one."""
    seed: int
    kept: int
    kept_a_source: int
    several: bool
    """Whether the dataset has several shards."""
    columns: tuple[tuple[str, str], ...] = ()
    wrapped: bool = False

    def __call__(self, part: tuple[str, ShardPart]) -> list[Piece]:
        """A part, which comes behind the name of its random stream, in one piece."""
        with uncollected():
            made = list(self.pieces(part, sys.maxsize))
        for piece in made:
            piece.counts.join()
        return made

    def pieces(self, named: tuple[str, ShardPart], size: int = 0) -> Iterator[Piece]:
        """The same in pieces of so many rows (`PIECE`), one after another."""
        yield from _Reading(self, *named).pieces(size or PIECE)


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
        _memories[task.name] = _Memory(Known(), LowestKeys(task.kept))
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

    def __init__(self, task: RowPass, name: str, part: ShardPart) -> None:
        self._task, self._part = task, part
        self._memory = _memory(task)
        self._seed = derive(task.seed, "rows")
        self._stream = np.random.PCG64(derive(task.seed, "copies", name))
        self._leaves = LeafList()
        self._names = Renaming(task.columns) if task.columns else None
        self._sources: set[str] = set()
        self._piece = Piece()
        self._sampled: LowestKeys[Numbered] = LowestKeys(task.kept)
        self._by_source: dict[str, LowestKeys[Numbered]] = {}

    def pieces(self, size: int) -> Iterator[Piece]:
        """What the part holds, piece by piece."""
        part, block = self._part, list[tuple[int, bytes, Look]]()
        try:
            if self._task.several and not part.start:
                self._piece.columns = shard_columns(part.shard)
            columns = ALL_COLUMNS if self._names is None else None
            numbered = part_records(part, self._fault, columns, self._leaves)
            for number, look in made(numbered, self._look, self._fault):
                block.append((number, self._leaves.last, look))
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
        yield self._given()

    def _fault(self, reason: str, number: int, text: str, /, rows: int = 1, hint: str = "") -> None:
        self._piece.faults(reason, number, text, rows, hint)

    def _given(self) -> Piece:
        piece, self._piece = self._piece, Piece()
        piece.leaves, piece.renaming = self._leaves.given(), self._names
        piece.sampled = PackedRows.of(self._sampled)
        piece.by_source = {name: PackedRows.of(rows) for name, rows in self._by_source.items()}
        self._sampled, self._by_source = LowestKeys(self._task.kept), {}
        return piece

    def _look(self, record: object) -> Look:
        if self._names is None and not self._task.wrapped and (look := plain_look(record)):
            return look
        shape, row, id, unread = usable(record, self._names, self._task.wrapped)
        return shape, row.chat, row_text(row), id, row.source, unread, row

    def _take(self, block: Sequence[tuple[int, bytes, Look]]) -> None:
        numbers, leaves, looks = zip(*block, strict=True)
        shapes, chats, texts, ids, sources, unread, given = zip(*looks, strict=True)
        counts = self._piece.counts
        counts.shapes.update(zip(shapes, chats, strict=True))
        if len(counts.unread) < MOST_UNREAD:
            counts.unread.update(*set(unread))
        counts.take(numbers, texts, ids, self._memory.known)
        keys = self._keys(np.frombuffer(b"".join(leaves), np.uint64))
        rows = list(zip(numbers, given, strict=True))
        memory, wanted = self._memory.sampled, np.flatnonzero(keys <= self._memory.sampled.limit)
        memory.add(keys[wanted], [None] * len(wanted))
        self._sampled.add(keys[wanted], [rows[i] for i in wanted.tolist()])
        if any(source is not None for source in sources):
            self._take_sources(sources, keys, rows)

    def _keys(self, leaves: Keys) -> Keys:
        keys = keyed(leaves, self._seed)
        _, first = np.unique(leaves, return_index=True)
        if len(first) < len(leaves):
            again = np.ones(len(leaves), dtype=np.bool_)
            again[first] = False
            keys[again] = self._stream.random_raw(len(leaves) - len(first))
        return keys

    def _take_sources(
        self, sources: Sequence[str | None], keys: Keys, rows: list[Numbered]
    ) -> None:
        piece, memory = self._piece, self._memory.by_source
        places: dict[str, list[int]] = {}
        for i, source in enumerate(sources):
            if source is not None:
                places.setdefault(source, []).append(i)
        for name, at in places.items():
            if name not in self._sources and len(self._sources) >= MOST_NAMES:
                piece.further[name] += len(at)
                continue
            self._sources.add(name)
            piece.sources[name] += len(at)
            seen = memory.get(name)
            if seen is None:
                seen = LowestKeys(self._task.kept_a_source)
                if len(memory) < _KEPT_SOURCES:
                    memory[name] = seen
            indices = np.array(at)
            wanted = indices[keys[indices] <= seen.limit]
            seen.add(keys[wanted], [None] * len(wanted))
            ours = self._by_source.setdefault(name, LowestKeys(self._task.kept_a_source))
            ours.add(keys[wanted], [rows[i] for i in wanted.tolist()])


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
