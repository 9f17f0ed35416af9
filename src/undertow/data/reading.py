"""Rows from JSON Lines, Parquet and standard input, one at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from undertow.data.lines import LineError, parsed
from undertow.data.opening import opened
from undertow.data.rows import Row
from undertow.data.shapes import SHAPES, from_record, shapes_text
from undertow.errors import DataError

R = TypeVar("R")

STANDARD_INPUT = "-"
"""The path that stands for JSON Lines on standard input."""

_BATCH = 1024


def read_rows(path: str | Path) -> Iterator[Row]:
    """
    The rows of a `.jsonl` or `.parquet` file, or of JSON Lines on standard input (`-`).

    Blank lines are skipped; the number of a row of JSON Lines is that of its line.

    Raises:
        DataError: naming the file and the row (from 1), what was found and what is allowed.
    """
    if str(path) == STANDARD_INPUT:
        yield from _json_lines(sys.stdin.buffer, "standard input", from_record)
        return
    yield from read_records(path, from_record, SHAPES, shapes_text(), also=", or -")


def read_records(
    path: str | Path,
    made_of: Callable[[object], R],
    shapes: Sequence[Sequence[str]],
    allowed: str,
    *,
    also: str = "",
) -> Iterator[R]:
    """
    What `made_of` makes of each record of a `.jsonl` or `.parquet` file; it raises ValueError for a bad one.

    A Parquet file must have all columns of one of the `shapes`, which `allowed` says in words.

    Raises:
        DataError: naming the file and the row (from 1), what was found and what is allowed.
    """
    with opened(path, also=also) as stream:
        if Path(path).suffix == ".jsonl":
            yield from _json_lines(stream, f"'{path}'", made_of)
        else:
            yield from _parquet(stream, f"'{path}'", made_of, shapes, allowed)


def read_objects(path: str | Path) -> Iterator[dict[str, Any]]:
    """
    The records of a `.jsonl` or `.parquet` file as they are, all their columns.

    Raises:
        DataError: a line is no JSON object, or the file is damaged.
    """
    with opened(path) as stream:
        if Path(path).suffix == ".jsonl":
            yield from _json_lines(stream, f"'{path}'", _object)
            return
        from pyarrow import ArrowException, parquet

        try:
            for batch in parquet.ParquetFile(stream).iter_batches(batch_size=_BATCH):
                yield from batch.to_pylist()
        except (ArrowException, OSError, ValueError) as error:
            raise DataError(f"'{path}' is damaged or not Parquet ({error})") from error


def _object(record: object) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError(f"{type(record).__name__} where an object is needed")
    return record


def _json_lines(stream: BinaryIO, place: str, made_of: Callable[[object], R]) -> Iterator[R]:
    for number, line in enumerate(stream, start=1):
        try:
            row = parsed(line, made_of, first=number == 1)
        except LineError as error:
            raise DataError(
                f"{place}, row {number}: {error}", hint="mend or remove this row"
            ) from error
        if row is not None:
            yield row


def _parquet(
    stream: BinaryIO,
    place: str,
    made_of: Callable[[object], R],
    shapes: Sequence[Sequence[str]],
    allowed: str,
) -> Iterator[R]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        file = parquet.ParquetFile(stream)
        names = file.schema_arrow.names
        if not any(set(shape) <= set(names) for shape in shapes):
            found = ", ".join(f"'{name}'" for name in names)
            raise DataError(f"{place}: found the columns {found}; allowed: {allowed}")
        known = {name for shape in shapes for name in shape} | {"source"}
        columns = [name for name in names if name in known]
        for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
            for index in range(batch.num_rows):
                number += 1
                yield made_of({name: batch[name][index].as_py() for name in columns})
    except UnicodeDecodeError as error:
        raise DataError(f"{place}, row {number}: text that is not UTF-8") from error
    except pyarrow.ArrowException as error:
        raise DataError(f"{place}: damaged or not Parquet, after row {number} ({error})") from error
    except ValueError as error:
        raise DataError(f"{place}, row {number}: {error}") from error
