"""Files written whole or not at all: rows, and any bytes or text."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from undertow.data.rows import Row
from undertow.data.shapes import to_record
from undertow.errors import DataError, InputError, UndertowError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_count = itertools.count()


def write_rows(path: str | Path, rows: Iterable[Row]) -> None:
    """
    Write rows to a `.jsonl` or `.parquet` file, atomically, in the shape `prompt` + `completion`.

    Preference pairs have `prompt` + `chosen` + `rejected`; plain text keeps its strings.

    Raises:
        DataError: if the suffix is another, or a Parquet file would mix chat and plain text.
        UndertowError: if the file cannot be written; what stood there before is untouched.
    """
    suffix = Path(path).suffix
    if suffix not in (".jsonl", ".parquet"):
        raise DataError(f"cannot write rows to '{path}'; allowed suffixes: .jsonl, .parquet")
    records = (to_record(row) for row in rows)
    with atomic_file(path) as file:
        if suffix == ".parquet":
            _write_parquet(file, list(records), str(path))
        else:
            file.writelines(json_line(record) for record in records)


def json_line(record: object) -> bytes:
    """One line of a JSON Lines file."""
    return json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n"


def atomic_write(path: str | Path, content: bytes | str) -> None:
    """
    Write a file so that a reader, at any time, sees its old content or all of the new.

    Raises:
        UndertowError: if there is no space left.
        InputError: if the place cannot be written to.
    """
    with atomic_file(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """
    A file to write to that takes its name only when the block ends without an exception.

    Raises:
        UndertowError: if there is no space left.
        InputError: if the place cannot be written to.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.{next(_count)}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
        _sync_directory(target.parent)
    except OSError as error:
        if error.errno in _FULL:
            raise UndertowError(
                f"no space left for '{path}'; nothing was overwritten",
                hint=f"free some space in '{target.parent}' and run the same command again",
            ) from error
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    # Without this the new name may be lost in a power cut. Some file systems refuse it.
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_parquet(file: BinaryIO, records: list[dict[str, Any]], path: str) -> None:
    import pyarrow
    from pyarrow import parquet

    named = dict.fromkeys(name for record in records for name in record)
    columns = list(named) or ["prompt", "completion"]  # no rows is still a readable file
    texts = {name for name in columns if any(isinstance(r.get(name), str) for r in records)}
    turns = pyarrow.list_(
        pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    )
    for number, record in enumerate(records, start=1):
        if any(name in texts and isinstance(value, list) for name, value in record.items()):
            raise DataError(
                f"cannot write '{path}': row {number} is chat and others are plain text, "
                "which one Parquet column cannot hold; allowed: .jsonl"
            )
    schema = pyarrow.schema(
        [(name, pyarrow.string() if name in texts else turns) for name in columns]
    )
    parquet.write_table(pyarrow.Table.from_pylist(records, schema=schema), file)
