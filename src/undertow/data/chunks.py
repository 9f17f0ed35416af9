"""
The usable rows of a file in chunks, whatever stands between them: bad ones are counted, none stops the reading.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from undertow.data.faults import Faults
from undertow.data.lines import LineError, parsed
from undertow.data.opening import opened
from undertow.data.parquet_records import parquet_records
from undertow.data.reading import STANDARD_INPUT
from undertow.data.rows import Row
from undertow.data.shapes import TokensError, shaped, tokens_in

CHUNK = 1024
"""Rows of a chunk, at most."""

LONGEST_LINE = 1 << 24
"""Bytes of a line that is parsed: one row of a million tokens fits, a file without line ends does not fill memory."""

_BLOCK = 1 << 20


@dataclass
class Chunk:
    """Usable rows that follow one another in a file."""

    rows: list[Row] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """Of each row in its file, from 1; of JSON Lines that of its line."""
    shapes: list[tuple[str, ...]] = field(default_factory=list)
    """Columns of each row's shape."""
    ids: list[str] = field(default_factory=list)
    """Of the rows that have an `id` that is a string or an integer."""

    def add(self, record: object, number: int) -> None:
        """
        Take one record.

        Raises:
            ValueError: it has no known shape, or tokens beside its text; nothing was taken.
        """
        shape, row = shaped(record)
        if tokens := tokens_in(record):  # type: ignore[arg-type]  # `shaped` refuses what is no mapping
            raise TokensError(
                f"holds tokens ({tokens}), which trainers take in place of the text that is read here; "
                "allowed: text alone, so remove them"
            )
        self.rows.append(row)
        self.numbers.append(number)
        self.shapes.append(shape)
        id = record.get("id")  # type: ignore[attr-defined]  # `shaped` refuses what is no mapping
        if isinstance(id, str | int):
            self.ids.append(f"{type(id).__name__} {id}")


def file_named(path: str | Path) -> str:
    """What a file is called in an error."""
    return "standard input" if str(path) == STANDARD_INPUT else f"'{path}'"


def chunks(
    path: str | Path, faults: Faults, seen: Callable[[bytes], object] = lambda block: None
) -> Iterator[Chunk]:
    """
    The usable rows of `.jsonl`, `.parquet` or standard input (`-`), in order; the others are added to `faults`.

    `seen` gets all bytes of the file in their order.

    Raises:
        DataError: there is no such file, none of these formats, or its disk fails.
    """
    if str(path) == STANDARD_INPUT:
        yield from _json_chunks(sys.stdin.buffer, faults, seen)
        return
    with opened(path, also=", or -") as stream:
        if Path(path).suffix == ".jsonl":
            yield from _json_chunks(stream, faults, seen)
        else:
            yield from _parquet_chunks(stream, faults, seen)


def _json_chunks(
    stream: BinaryIO, faults: Faults, seen: Callable[[bytes], object]
) -> Iterator[Chunk]:
    number, chunk = 0, Chunk()

    def take(record: object) -> bool:
        chunk.add(record, number)
        return True

    for lines in _lines(stream, seen):
        for line in lines:
            number += 1
            try:
                _refuse_long(line)
                parsed(line, take, first=number == 1)
            except LineError as error:
                faults.add(error.reason, f"row {number}", str(error))
            if len(chunk.rows) == CHUNK:
                yield chunk
                chunk = Chunk()
    if chunk.rows:
        yield chunk


def _lines(stream: BinaryIO, seen: Callable[[bytes], object]) -> Iterator[list[bytes]]:
    """
    The lines of each block read. What a line has beyond LONGEST_LINE is dropped, up to a block.
    """
    parts: list[bytes] = []
    held = 0
    while block := stream.read(_BLOCK):
        seen(block)
        first, *others = block.split(b"\n")
        if held <= LONGEST_LINE:
            parts.append(first)
            held += len(first)
        if others:
            last = others.pop()
            yield [b"".join(parts), *others]
            parts, held = [last], len(last)
    if held:
        yield [b"".join(parts)]


def _refuse_long(line: bytes) -> None:
    if len(line) > LONGEST_LINE:
        raise LineError("line-too-long", f"more than {LONGEST_LINE} bytes in one line")


def _parquet_chunks(
    stream: BinaryIO, faults: Faults, seen: Callable[[bytes], object]
) -> Iterator[Chunk]:
    while block := stream.read(_BLOCK):
        seen(block)
    stream.seek(0)
    for records in parquet_records(stream, CHUNK, faults):
        chunk = Chunk()
        for number, record in records:
            try:
                chunk.add(record, number)
            except ValueError as error:
                faults.add(getattr(error, "reason", "shape"), f"row {number}", str(error))
        if chunk.rows:
            yield chunk
