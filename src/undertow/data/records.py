"""
The one reader of records: of every dataset that `open_dataset` knows, shard by shard.

    read_rows(data)                          rows; the first bad one is an error
    read_records(data, made_of, columns)     what `made_of` makes of each record; likewise
    read_objects(data)                       records as they are, with all their columns, each behind its place; likewise
    chunks(data, faults)                     usable rows; each bad one goes to the faults of its shard, and nothing stops
    parts(shard), read_part(shard, part, made_of)
                                             records as they are of a part that a process reads alone

`made_of` raises a ValueError for a bad record; its attribute `reason` is a permanent id, `shape` without one.
Rows are numbered from 1 in each shard; those of JSON Lines as their lines, of which blank ones are no rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from undertow.data.column_names import NAME_THEM, Renaming, advised
from undertow.data.dataset import RowDataset, open_dataset
from undertow.data.json_records import line_records
from undertow.data.parquet_file import CHUNK, OnFault, ReadColumns, parquet_batches, row_groups
from undertow.data.record_turns import RecordError
from undertow.data.remote_files import is_url
from undertow.data.row_leaves import RunningRoot
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
from undertow.data.shard import Shard, shard_bytes
from undertow.data.shard_records import refuse_other_schema, shard_records
from undertow.errors import DataError

R = TypeVar("R")

PART = 32 << 20
"""Bytes from which several processes read a file quicker than one."""

_PARTS = 8
"""Parts a core, so that the last one to finish is not waited for long."""

Reference = str | Path | RowDataset
"""A dataset, or what a user typed for it."""


@dataclass
class Chunk:
    """Usable rows that follow one another in a shard."""

    shard: Shard
    rows: list[Row] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """Of each row in its shard."""
    shapes: list[tuple[str, ...]] = field(default_factory=list)
    """Columns of each row's shape."""
    ids: list[str] = field(default_factory=list)
    """Of the rows that have an `id` that is a string or an integer."""
    unread: set[str] = field(default_factory=set)
    """Columns of these rows that nothing reads."""


Usable = tuple[tuple[str, ...], Row, str | None, tuple[str, ...]]
"""A row behind the columns of its shape, before its id and the columns that nothing reads."""

_REQUIRED = tuple(shape.columns for shape in SHAPES)
_ROWS = ReadColumns(_REQUIRED, SHAPES_TOLD, ("source", *LOOKED_AT, *MEDIA))
_ROWS_AND_IDS = ReadColumns(_REQUIRED, SHAPES_TOLD, ("source", "id", *LOOKED_AT, *MEDIA, *TOKENS))
_ALL = ReadColumns(_REQUIRED, SHAPES_TOLD, every=True)

_ADVISED = 8
"""Rows of a shard for which it is worked out what to type; the others are counted."""


def read_rows(data: Reference) -> Iterator[Row]:
    """
    The rows of a dataset.

    Raises:
        DataError: naming the shard and the row, what was found and what is allowed.
    """
    dataset = _dataset(data)
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
    for shard in refuse_other_schema(_dataset(data)):
        fault = _refusal(shard)
        for _, value in _made(shard_records(shard, fault, columns), made_of, fault):
            yield value


def read_objects(data: Reference) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    The records of a dataset as they are, with all their columns, each behind its place: shard and row.

    Raises:
        DataError: a record is no object, or a shard is damaged.
    """
    for shard in refuse_other_schema(_dataset(data)):
        fault, named = _refusal(shard), shard.named
        for number, record in _made(shard_records(shard, fault), _object, fault):
            yield f"{named}, row {number}", record


def dataset_root(data: Reference) -> str:
    """
    The digest of a dataset: the root over its records' leaves in their order, in hex, however they are packed.

    Raises:
        DataError: a shard cannot be read, or is cut off.
    """
    digest = RunningRoot()
    for shard in _dataset(data).shards:
        for _ in shard_records(shard, _passed, None, digest):
            pass
    return digest.hexdigest()


def chunks(
    data: Reference, faults: Callable[[Shard], OnFault], digest: RunningRoot | None = None
) -> Iterator[Chunk]:
    """
    The usable rows of a dataset, in order; the others go to the faults of their shard.

    `digest` gets all records in their order.

    Raises:
        DataError: a shard is not there, is another schema, is cut off so that it is not known what is missing, or its
            disk fails.
    """
    dataset = _dataset(data)
    names = Renaming(dataset.columns) if dataset.columns else None
    for shard in refuse_other_schema(dataset):
        fault = faults(shard)
        if len(dataset.shards) > 1:
            fault = _whole_shards(shard, fault)
        columns: ReadColumns | None = _ROWS_AND_IDS if digest is None else _ALL
        if names is not None:
            columns = None
        usable = partial(_usable, names=names, wrapped=dataset.wrapped)
        made = _made(shard_records(shard, fault, columns, digest), usable, fault)
        yield from _in_chunks(shard, made)
    if names is not None and not dataset.columns_optional:
        names.refuse_unmet(dataset.reference)


def parts(shard: Shard) -> list[tuple[int, int] | None]:
    """
    A shard in parts that `read_part` takes, in their order; one part, None, where it has to be read from its beginning.

    Raises:
        DataError: there is no such file.
    """
    if is_url(shard.path) or shard.compression or shard.format not in ("jsonl", "parquet"):
        return [None]
    with shard_bytes(shard) as stream:
        if shard.format == "jsonl":
            size = os.fstat(stream.fileno()).st_size
            step = max(PART // 4, size // (_PARTS * (os.cpu_count() or 1)) + 1)
            return [(at, min(at + step, size)) for at in range(0, size, step)] or [None]
        groups = row_groups(stream, _refusal(shard))
        return [(group, group + 1) for group in range(groups)] or [None]


def read_part(
    shard: Shard, part: tuple[int, int] | None, made_of: Callable[[object], R]
) -> Iterator[R]:
    """
    What `made_of` makes of each record of a part, all its columns.

    A line belongs to the part in which it begins.

    Raises:
        DataError: naming the shard and the row, if it is no JSON, has a key twice, or `made_of` refuses it.
    """
    fault = _refusal(shard)
    if part is None:
        yield from _values(_made(shard_records(shard, fault), made_of, fault))
        return
    start, stop = part
    with shard_bytes(shard) as stream:
        if shard.format == "parquet":
            for batch in parquet_batches(stream, None, fault, range(start, stop)):
                yield from _values(_made(batch, made_of, fault))
            return
        if start:
            stream.seek(start - 1)
            stream.readline()  # the rest of a line that began before
        fault = _refusal(shard, f" behind byte {stream.tell()}" if start else "")
        lines = line_records(_until(stream, stop), fault, mark=not start)
        yield from _values(_made(lines, made_of, fault))


def _dataset(data: Reference) -> RowDataset:
    return data if isinstance(data, RowDataset) else open_dataset(data)


def _refusal(shard: Shard, behind: str = "") -> OnFault:
    place = shard.named

    def refuse(reason: str, number: int, text: str, /, rows: int = 1, hint: str = "") -> NoReturn:
        if not number:
            raise DataError(f"{place}: {text}", hint=hint)
        raise DataError(
            f"{place}, row {number}{behind}: {text}", hint=hint or "mend or remove this row"
        )

    return refuse


def _whole_shards(shard: Shard, fault: OnFault) -> OnFault:
    """Refuses a shard of several that cannot be read at all: what is missing would not be known."""

    def told(reason: str, number: int, text: str, /, rows: int = 1, hint: str = "") -> None:
        if not number and reason == "damaged":
            raise DataError(
                f"{shard.named}, row 1: {text}",
                hint="fetch the file again and compare its checksum, or leave it out and name the others",
            )
        fault(reason, number, text, rows, hint)

    return told


def _passed(reason: str, number: int, text: str, /, rows: int = 1, hint: str = "") -> None:
    """Passes over a fault."""


def _values(numbered: Iterable[tuple[int, R]]) -> Iterator[R]:
    return (value for _, value in numbered)


def _object(record: object) -> dict[str, Any]:
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


def _usable(record: object, names: Renaming | None, wrapped: bool) -> Usable:
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


def _in_chunks(shard: Shard, usable: Iterable[tuple[int, Usable]]) -> Iterator[Chunk]:
    chunk = Chunk(shard)
    for number, (shape, row, id, unread) in usable:
        chunk.rows.append(row)
        chunk.numbers.append(number)
        chunk.shapes.append(shape)
        if id is not None:
            chunk.ids.append(id)
        if unread:
            chunk.unread.update(unread)
        if len(chunk.rows) == CHUNK:
            yield chunk
            chunk = Chunk(shard)
    if chunk.rows:
        yield chunk


def _until(stream: BinaryIO, stop: int) -> Iterator[bytes]:
    at = stream.tell()
    while at < stop and (line := stream.readline()):
        at += len(line)
        yield line


def _made(
    numbered: Iterable[tuple[int, object]], made_of: Callable[[object], R], fault: OnFault
) -> Iterator[tuple[int, R]]:
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
