"""
Rows from JSON Lines, Parquet and standard input, one at a time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from undertow.data.rows import Row
from undertow.data.shapes import SHAPES, from_record, shapes_text
from undertow.errors import DataError

STANDARD_INPUT = "-"
"""The path that stands for JSON Lines on standard input."""

_BATCH = 1024
_COLUMNS = {name for shape in SHAPES for name in shape} | {"source"}


def read_rows(path: str | Path) -> Iterator[Row]:
    """
    The rows of a `.jsonl` or `.parquet` file, or of JSON Lines on standard input (`-`).

    Blank lines are skipped; the number of a row of JSON Lines is that of its line.

    Raises:
        DataError: naming the file and the row (from 1), what was found and what is allowed.
    """
    if str(path) == STANDARD_INPUT:
        yield from _json_lines(sys.stdin.buffer, "standard input")
        return
    file = Path(path)
    if file.suffix not in (".jsonl", ".parquet"):
        raise DataError(f"'{path}' has the suffix '{file.suffix}'; allowed: .jsonl, .parquet, or -")
    try:
        with file.open("rb") as stream:
            yield from (_json_lines if file.suffix == ".jsonl" else _parquet)(stream, f"'{path}'")
    except FileNotFoundError as error:
        raise DataError(f"no such file: '{path}'") from error
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from error


def _json_lines(stream: BinaryIO, place: str) -> Iterator[Row]:
    for number, line in enumerate(stream, start=1):
        try:
            # Some editors open a file with a byte order mark.
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            row = from_record(json.loads(text)) if text else None
        except UnicodeDecodeError as error:
            raise DataError(
                f"{place}, row {number}: byte {error.start} of the row is not UTF-8"
            ) from error
        except json.JSONDecodeError as error:
            raise DataError(
                f"{place}, row {number}: not valid JSON ({error.msg} at column {error.colno})"
            ) from error
        except RecursionError as error:
            raise DataError(f"{place}, row {number}: JSON nested too deeply") from error
        except ValueError as error:
            raise DataError(f"{place}, row {number}: {error}") from error
        if row is not None:
            yield row


def _parquet(stream: BinaryIO, place: str) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        file = parquet.ParquetFile(stream)
        names = file.schema_arrow.names
        if not any(set(shape) <= set(names) for shape in SHAPES):
            found = ", ".join(f"'{name}'" for name in names)
            raise DataError(f"{place}: found the columns {found}; allowed: {shapes_text()}")
        columns = [name for name in names if name in _COLUMNS]
        for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
            for index in range(batch.num_rows):
                number += 1
                yield from_record({name: batch[name][index].as_py() for name in columns})
    except UnicodeDecodeError as error:
        raise DataError(f"{place}, row {number}: text that is not UTF-8") from error
    except pyarrow.ArrowException as error:
        raise DataError(f"{place}: damaged or not Parquet, after row {number} ({error})") from error
    except ValueError as error:
        raise DataError(f"{place}, row {number}: {error}") from error
