"""
The one reader of records: JSON Lines, Parquet and standard input.

    read_rows(path)                          rows; the first bad one is an error
    read_records(path, made_of, columns)     what `made_of` makes of each record; likewise
    read_objects(path)                       records as they are, with all their columns; likewise
    chunks(path, fault)                      usable rows; each bad one goes to `fault`, and nothing stops the reading
    parts(path), read_part(path, part, made_of)
                                             records as they are, strictly decoded, of a part that a process reads alone

`made_of` raises a ValueError for a bad record; its attribute `reason` is a permanent id, `shape` without one.
Rows are numbered from 1; those of JSON Lines as their lines, of which blank ones are no rows.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from undertow.data.files import rows_file
from undertow.data.parquet_file import CHUNK, OnFault, ReadColumns, parquet_batches, row_groups
from undertow.data.row_shapes import (
    COLUMNS,
    MEDIA,
    SHAPES,
    TOKENS,
    TokensError,
    from_record,
    shaped,
    shapes_text,
    tokens_in,
)
from undertow.data.rows import Row
from undertow.data.strict_json import decoded
from undertow.errors import DataError

R = TypeVar("R")

STANDARD_INPUT = "-"
"""The path that stands for JSON Lines on standard input."""

LONGEST_LINE = 1 << 24
"""Bytes of a line of a chunk: one row of a million tokens fits, a file without line ends does not fill memory."""

PART = 32 << 20
"""Bytes from which several processes read a file quicker than one."""

_PARTS = 8
"""Parts a core, so that the last one to finish is not waited for long."""

_BLOCK = 1 << 20
"""Bytes read at a time."""


class LineError(ValueError):
    """A line that gives no record."""

    def __init__(self, reason: str, text: str) -> None:
        """`reason` is a permanent id, `text` says what was found."""
        super().__init__(text)
        self.reason = reason


@dataclass
class Chunk:
    """Usable rows that follow one another in a file."""

    rows: list[Row] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """Of each row in its file."""
    shapes: list[tuple[str, ...]] = field(default_factory=list)
    """Columns of each row's shape."""
    ids: list[str] = field(default_factory=list)
    """Of the rows that have an `id` that is a string or an integer."""


Usable = tuple[tuple[str, ...], Row, str | None]
"""A row behind the columns of its shape and before its id."""

_REQUIRED = tuple(shape.columns for shape in SHAPES)
_ROWS = ReadColumns(_REQUIRED, shapes_text(), ("source", *COLUMNS, *MEDIA))
_CHUNKS = ReadColumns(_REQUIRED, shapes_text(), ("source", "id", *COLUMNS, *MEDIA, *TOKENS))


def read_rows(path: str | Path) -> Iterator[Row]:
    """
    The rows of a `.jsonl` or `.parquet` file, or of JSON Lines on standard input (`-`).

    Raises:
        DataError: naming the file and the row, what was found and what is allowed.
    """
    if str(path) == STANDARD_INPUT:
        yield from _values(_from_lines(sys.stdin.buffer, from_record, _refusal(path)))
        return
    yield from read_records(path, from_record, _ROWS, also=", or -")


def read_records(
    path: str | Path, made_of: Callable[[object], R], columns: ReadColumns | None, *, also: str = ""
) -> Iterator[R]:
    """
    What `made_of` makes of each record of a `.jsonl` or `.parquet` file; without `columns`, all are read.

    Raises:
        DataError: naming the file and the row, what was found and what is allowed.
    """
    fault = _refusal(path)
    with rows_file(path, also=also) as stream:
        if Path(path).suffix == ".jsonl":
            yield from _values(_from_lines(stream, made_of, fault))
        else:
            for batch in parquet_batches(stream, columns, fault):
                yield from _values(_made(batch, made_of, fault))


def read_objects(path: str | Path) -> Iterator[dict[str, Any]]:
    """
    The records of a `.jsonl` or `.parquet` file as they are, with all their columns.

    Raises:
        DataError: a line is no JSON object, or the file is damaged.
    """
    return read_records(path, _object, None)


def chunks(
    path: str | Path, fault: OnFault, seen: Callable[[bytes], object] = lambda block: None
) -> Iterator[Chunk]:
    """
    The usable rows of `.jsonl`, `.parquet` or standard input (`-`), in order; the others go to `fault`.

    `seen` gets all bytes of the file in their order.

    Raises:
        DataError: there is no such file, none of these formats, or its disk fails.
    """
    if str(path) == STANDARD_INPUT:
        yield from _chunks_of_lines(sys.stdin.buffer, fault, seen)
        return
    with rows_file(path, also=", or -") as stream:
        if Path(path).suffix == ".jsonl":
            yield from _chunks_of_lines(stream, fault, seen)
            return
        while block := stream.read(_BLOCK):
            seen(block)
        stream.seek(0)
        for batch in parquet_batches(stream, _CHUNKS, fault):
            yield from _in_chunks(_made(batch, _usable, fault))


def parts(path: str | Path) -> list[tuple[int, int]]:
    """
    A file in parts that `read_part` takes, in their order: ranges of bytes of JSON Lines, of row groups of Parquet.

    Raises:
        DataError: there is no such file, or none of these formats.
    """
    with rows_file(path) as stream:
        if Path(path).suffix == ".jsonl":
            size = os.fstat(stream.fileno()).st_size
            step = max(PART // 4, size // (_PARTS * (os.cpu_count() or 1)) + 1)
            return [(at, min(at + step, size)) for at in range(0, size, step)] or [(0, 0)]
        groups = row_groups(stream, _refusal(path))
        return [(group, group + 1) for group in range(groups)]


def read_part(
    path: str | Path, part: tuple[int, int], made_of: Callable[[object], R]
) -> Iterator[R]:
    """
    What `made_of` makes of each record of a part, all its columns, decoded by `strict_json.decoded`.

    A line belongs to the part in which it begins.

    Raises:
        DataError: naming the file and the row, if it is no JSON, has a key twice, or `made_of` refuses it.
    """
    start, stop = part
    with rows_file(path) as stream:
        if Path(path).suffix == ".parquet":
            fault = _refusal(path)
            for batch in parquet_batches(stream, None, fault, range(start, stop)):
                yield from _values(_made(batch, made_of, fault))
            return
        if start:
            stream.seek(start - 1)
            stream.readline()  # the rest of a line that began before
        behind = f" behind byte {stream.tell()}" if start else ""
        lines = _until(stream, stop)
        fault = _refusal(path, behind)
        yield from _values(_from_lines(lines, made_of, fault, decode=decoded, mark=not start))


def line_record(
    line: bytes,
    made_of: Callable[[object], R],
    *,
    first: bool,
    decode: Callable[[str], object] = json.loads,
) -> R | None:
    """
    What `made_of` makes of the line's JSON; None for a blank line. `first` allows a byte order mark.

    Raises:
        LineError: the line is no UTF-8, no JSON, nested too deeply, or `made_of` refuses it with a ValueError.
    """
    try:
        # Some editors open a file with a byte order mark.
        text = line.decode("utf-8-sig" if first else "utf-8").strip()
        record = decode(text) if text else None
    except UnicodeDecodeError as error:
        raise LineError("not-utf8", f"byte {error.start} of the row is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise LineError(
            "not-json", f"not valid JSON ({error.msg} at column {error.colno})"
        ) from error
    except RecursionError as error:
        raise LineError("nested-too-deeply", "JSON nested too deeply") from error
    except ValueError as error:  # an integer of more digits than Python turns into a number
        raise LineError("not-json", str(error)) from error
    try:
        return made_of(record) if text else None
    except ValueError as error:
        raise LineError(getattr(error, "reason", "shape"), str(error)) from error


def file_named(path: str | Path) -> str:
    """What a file is called in an error."""
    return "standard input" if str(path) == STANDARD_INPUT else f"'{path}'"


def _refusal(path: str | Path, behind: str = "") -> OnFault:
    place = file_named(path)

    def refuse(reason: str, number: int, text: str, /, rows: int = 1) -> NoReturn:
        if not number:
            raise DataError(f"{place}: {text}")
        raise DataError(f"{place}, row {number}{behind}: {text}", hint="mend or remove this row")

    return refuse


def _values(numbered: Iterable[tuple[int, R]]) -> Iterator[R]:
    return (value for _, value in numbered)


def _object(record: object) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError(f"{type(record).__name__} where an object is needed")
    return record


def _usable(record: object) -> Usable:
    shape, row = shaped(record)
    if tokens := tokens_in(record):  # type: ignore[arg-type]  # `shaped` refuses what is no mapping
        raise TokensError(
            f"holds tokens ({tokens}), which trainers take in place of the text that is read here; "
            "allowed: text alone, so remove them"
        )
    id = record.get("id")  # type: ignore[attr-defined]  # `shaped` refuses what is no mapping
    return shape, row, f"{type(id).__name__} {id}" if isinstance(id, str | int) else None


def _in_chunks(usable: Iterable[tuple[int, Usable]]) -> Iterator[Chunk]:
    chunk = Chunk()
    for number, (shape, row, id) in usable:
        chunk.rows.append(row)
        chunk.numbers.append(number)
        chunk.shapes.append(shape)
        if id is not None:
            chunk.ids.append(id)
        if len(chunk.rows) == CHUNK:
            yield chunk
            chunk = Chunk()
    if chunk.rows:
        yield chunk


def _chunks_of_lines(
    stream: BinaryIO, fault: OnFault, seen: Callable[[bytes], object]
) -> Iterator[Chunk]:
    lines = _bounded_lines(stream, seen)
    return _in_chunks(_from_lines(lines, _usable, fault, longest=LONGEST_LINE))


def _from_lines(
    lines: Iterable[bytes],
    made_of: Callable[[object], R],
    fault: OnFault,
    *,
    longest: float = math.inf,
    decode: Callable[[str], object] = json.loads,
    mark: bool = True,
) -> Iterator[tuple[int, R]]:
    for number, line in enumerate(lines, start=1):
        if len(line) > longest:
            fault("line-too-long", number, f"more than {longest} bytes in one line")
            continue
        try:
            value = line_record(line, made_of, first=mark and number == 1, decode=decode)
        except LineError as error:
            fault(error.reason, number, str(error))
            continue
        if value is not None:
            yield number, value


def _bounded_lines(stream: BinaryIO, seen: Callable[[bytes], object]) -> Iterator[bytes]:
    """The lines of a stream. What a line has beyond LONGEST_LINE is dropped, up to a block."""
    pieces: list[bytes] = []
    held = 0
    while block := stream.read(_BLOCK):
        seen(block)
        first, *others = block.split(b"\n")
        if held <= LONGEST_LINE:
            pieces.append(first)
            held += len(first)
        if others:
            last = others.pop()
            yield b"".join(pieces)
            yield from others
            pieces, held = [last], len(last)
    if held:
        yield b"".join(pieces)


def _until(stream: BinaryIO, stop: int) -> Iterator[bytes]:
    at = stream.tell()
    while at < stop and (line := stream.readline()):
        at += len(line)
        yield line


def _made(
    batch: Iterable[tuple[int, dict[str, object]]], made_of: Callable[[object], R], fault: OnFault
) -> Iterator[tuple[int, R]]:
    for number, record in batch:
        try:
            value = made_of(record)
        except ValueError as error:
            fault(getattr(error, "reason", "shape"), number, str(error))
        else:
            yield number, value
