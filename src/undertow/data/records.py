"""
The one reader of records: of every dataset that `open_dataset` knows, shard by shard.

    read_rows(data)                          rows; the first bad one is an error
    read_records(data, made_of, columns)     what `made_of` makes of each record; likewise
    read_objects(data)                       records as they are, with all their columns, each behind its place; likewise
    chunks(data, faults)                     usable rows; each bad one goes to the faults of its shard, and nothing stops
    parts(shard), part_records(part, …)      the parts of a shard, each of which a process reads alone, and the records of one

`made_of` raises a ValueError for a bad record; its attribute `reason` is a permanent id, `shape` without one.
Rows are numbered from 1 in each shard; those of JSON Lines as their lines, of which blank ones are no rows.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from undertow.data.column_names import NAME_THEM, Renaming, advised
from undertow.data.dataset import RowDataset, open_dataset
from undertow.data.json_records import LineLayout, lines_between
from undertow.data.parquet_file import (
    CHUNK,
    OnFault,
    ReadColumns,
    parquet_batches,
    pass_over,
    row_groups,
)
from undertow.data.record_turns import RecordError
from undertow.data.row_leaves import LeafList
from undertow.data.row_shapes import (
    LOOKED_AT,
    MEDIA,
    SHAPES,
    SHAPES_TOLD,
    TOKENS,
    NoShapeError,
    TokensError,
    from_record,
    shaped,
    tokens_in,
    unread_columns,
)
from undertow.data.rows import Row
from undertow.data.shard import STANDARD_INPUT, Shard, shard_bytes
from undertow.data.shard_records import leafed, leafed_lines, refuse_other_schema, shard_records
from undertow.errors import DataError

R = TypeVar("R")

STEP = 8 << 20
"""Bytes of a part of JSON Lines; the same on every machine, as random streams are named by the parts."""

Reference = str | Path | RowDataset
"""A dataset, or what a user typed for it."""


@dataclass
class Chunk:
    """Usable rows that follow one another in a shard."""

    shard: Shard
    rows: list[Row] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """Of each row in its shard."""


@dataclass(frozen=True)
class ShardPart:
    """A part of a shard that can be read without the others."""

    shard: Shard
    within: tuple[int, int] | None = None
    """From which byte to before which of JSON Lines, row group of Parquet; None for the whole."""

    @property
    def start(self) -> int:
        """Where it begins; 0 in one part of every shard."""
        return self.within[0] if self.within else 0

    @property
    def name(self) -> str:
        """Its shard, and where in it it begins."""
        if self.within is None:
            return self.shard.path
        what = "row group" if self.shard.format == "parquet" else "byte"
        return f"{self.shard.path} from {what} {self.start} on"

    @property
    def by_lines(self) -> bool:
        """Whether its rows are numbered from its own first line."""
        return self.within is not None and self.shard.format == "jsonl"


Usable = tuple[tuple[str, ...], Row, str | None, tuple[str, ...]]
"""A row behind the columns of its shape, before its id and the columns that nothing reads."""

_REQUIRED = tuple(shape.columns for shape in SHAPES)
_ROWS = ReadColumns(_REQUIRED, SHAPES_TOLD, ("source", *LOOKED_AT, *MEDIA))
_ROWS_AND_IDS = ReadColumns(_REQUIRED, SHAPES_TOLD, ("source", "id", *LOOKED_AT, *MEDIA, *TOKENS))
ALL_COLUMNS = ReadColumns(_REQUIRED, SHAPES_TOLD, every=True)

_ADVISED = 8
"""Rows of a shard for which it is worked out what to type; the others are counted."""


def read_rows(data: Reference) -> Iterator[Row]:
    """
    The rows of a dataset.

    Raises:
        DataError: naming the shard and the row, what was found and what is allowed.
    """
    dataset = as_dataset(data)
    if not dataset.columns:
        made_of = partial(from_record, wrapped=dataset.wrapped)
        yield from read_records(dataset, made_of, _ROWS)
        return
    names = Renaming(dataset.columns)
    yield from read_records(
        dataset, lambda record: _shaped(record, names, dataset.wrapped)[2], None
    )
    if not dataset.columns_optional:
        names.refuse_unmet(dataset.reference)


def read_records(
    data: Reference, made_of: Callable[[object], R], columns: ReadColumns | None
) -> Iterator[R]:
    """
    What `made_of` makes of each record of a dataset; without `columns`, all are read.

    Raises:
        DataError: naming the shard and the row, what was found and what is allowed.
    """
    for shard in refuse_other_schema(as_dataset(data)):
        fault = refusal(shard)
        for _, value in made(shard_records(shard, fault, columns), made_of, fault):
            yield value


def read_objects(data: Reference) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    The records of a dataset as they are, with all their columns, each behind its place: shard and row.

    Raises:
        DataError: a record is no object, or a shard is damaged.
    """
    for shard in refuse_other_schema(as_dataset(data)):
        fault, named = refusal(shard), shard.named
        for number, record in made(shard_records(shard, fault), as_object, fault):
            yield f"{named}, row {number}", record


def chunks(data: Reference, faults: Callable[[Shard], OnFault]) -> Iterator[Chunk]:
    """
    The usable rows of a dataset, in order; the others go to the faults of their shard.

    Raises:
        DataError: a shard is not there, is another schema, is cut off so that it is not known what is missing, or its
            disk fails.
    """
    dataset = as_dataset(data)
    names = Renaming(dataset.columns) if dataset.columns else None
    for shard in refuse_other_schema(dataset):
        fault = faults(shard)
        if len(dataset.shards) > 1:
            fault = whole_shards(shard, fault)
        columns = None if names else _ROWS_AND_IDS
        row = partial(usable, names=names, wrapped=dataset.wrapped)
        yield from _in_chunks(shard, made(shard_records(shard, fault, columns), row, fault))
    if names is not None and not dataset.columns_optional:
        names.refuse_unmet(dataset.reference)


def parts(shard: Shard) -> list[ShardPart]:
    """
    A shard in parts, in their order; one part where it has to be read from its beginning.

    Raises:
        DataError: there is no such file.
    """
    whole = [ShardPart(shard)]
    if (
        shard.compression
        or shard.format not in ("jsonl", "parquet")
        or shard.path == STANDARD_INPUT
    ):
        return whole
    with shard_bytes(shard) as stream:
        if not stream.seekable():
            return whole
        if shard.format == "jsonl":
            size = stream.seek(0, io.SEEK_END)
            return [
                ShardPart(shard, (at, min(at + STEP, size))) for at in range(0, size, STEP)
            ] or whole
        groups = row_groups(stream, pass_over)
    return [ShardPart(shard, (group, group + 1)) for group in range(groups)] or whole


def bytes_here(dataset: RowDataset) -> int:
    """Bytes of the shards that are files on this disk, packed as they are."""
    return sum(os.path.getsize(s.path) for s in dataset.shards if os.path.isfile(s.path))


def part_records(
    part: ShardPart,
    fault: OnFault,
    columns: ReadColumns | None = None,
    leaves: LeafList | None = None,
    layout: LineLayout | None = None,
) -> Iterator[tuple[int, object]]:
    """
    The records of a part behind their numbers, all their columns; `leaves` gets that of each, in their order, and `layout`
    where the lines lie of a part that is numbered by them.

    A line belongs to the part in which it begins.

    Raises:
        DataError: it cannot be read, or is cut off or damaged so that it is not known what is missing.
    """
    if part.within is None:
        yield from shard_records(part.shard, fault, columns, leaves)
        return
    start, stop = part.within
    with shard_bytes(part.shard) as stream:
        if part.shard.format == "parquet":
            batches = parquet_batches(stream, columns, fault, range(start, stop))
            yield from leafed((each for batch in batches for each in batch), leaves)
        else:
            lines = lines_between(stream, start, stop, layout)
            yield from leafed_lines(lines, fault, leaves, mark=not start, layout=layout)


def as_dataset(data: Reference) -> RowDataset:
    """A dataset, opened where it was only named."""
    return data if isinstance(data, RowDataset) else open_dataset(data)


def refusal(shard: Shard, behind: str = "") -> OnFault:
    """Refuses the first record that is none, by its place; `behind` says behind what its number counts."""
    place = shard.named

    def refuse(reason: str, number: int, text: str, /, rows: int = 1, hint: str = "") -> NoReturn:
        if not number:
            raise DataError(f"{place}: {text}", hint=hint)
        raise DataError(
            f"{place}, row {number}{behind}: {text}", hint=hint or "mend or remove this row"
        )

    return refuse


def whole_shards(shard: Shard, fault: OnFault) -> OnFault:
    """A fault that refuses a shard of several that cannot be read at all: what is missing would not be known."""

    def told(reason: str, number: int, text: str, /, rows: int = 1, hint: str = "") -> None:
        if not number and reason == "damaged":
            raise DataError(
                f"{shard.named}, row 1: {text}",
                hint="fetch the file again and compare its checksum, or leave it out and name the others",
            )
        fault(reason, number, text, rows, hint)

    return told


def as_object(record: object) -> dict[str, Any]:
    """A record that is an object; a ValueError says what else it is."""
    if not isinstance(record, dict):
        raise ValueError(f"{type(record).__name__} where an object is needed")
    return record


def _shaped(
    record: object, names: Renaming | None, wrapped: bool
) -> tuple[object, tuple[str, ...], Row]:
    """The record under its new names, the columns of its shape, and its row."""
    given = record if names is None else names.of(record)
    try:
        return given, *shaped(given, wrapped=wrapped)
    except NoShapeError as error:
        raise (names and names.missing(record)) or error from error


def usable(record: object, names: Renaming | None, wrapped: bool) -> Usable:
    """
    A record as a row, its columns under their new names.

    Raises:
        RecordError: it is none that could be trained on.
    """
    record, shape, row = _shaped(record, names, wrapped)
    assert isinstance(record, Mapping)  # `shaped` refuses all else
    if tokens := tokens_in(record):
        raise TokensError(
            f"holds tokens ({tokens}), which trainers take in place of the text that is read here; "
            "allowed: text alone, so remove them",
            hint=f"if the text is what is trained: --columns {_left_out(tokens)}",
        )
    id = record.get("id")
    told = f"{type(id).__name__} {id}" if isinstance(id, str | int) else None
    return shape, row, told, tuple(unread_columns(record, shape, chat=row.chat))


def _left_out(tokens: str) -> str:
    return " ".join(name.strip("'") + "=" for name in tokens.split(", "))


def _in_chunks(shard: Shard, numbered: Iterable[tuple[int, Usable]]) -> Iterator[Chunk]:
    chunk = Chunk(shard)
    for number, (_, row, _, _) in numbered:
        chunk.rows.append(row)
        chunk.numbers.append(number)
        if len(chunk.rows) == CHUNK:
            yield chunk
            chunk = Chunk(shard)
    if chunk.rows:
        yield chunk


def made(
    numbered: Iterable[tuple[int, object]], made_of: Callable[[object], R], fault: OnFault
) -> Iterator[tuple[int, R]]:
    """What `made_of` makes of each record, behind its number; what it refuses goes to `fault`."""
    advices = 0
    for number, record in numbered:
        try:
            value = made_of(record)
        except ValueError as error:
            hint, text = getattr(error, "hint", ""), str(error)
            if not hint and advices < _ADVISED and isinstance(error, RecordError):
                advices += 1
                hint = advised(record)
                if isinstance(error, NoShapeError):
                    text, hint = error.with_way(hint), hint or NAME_THEM
            fault(getattr(error, "reason", "shape"), number, text, hint=hint)
        else:
            yield number, value
