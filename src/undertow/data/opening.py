"""Opens a file of rows, with errors that say what is wrong with its path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from undertow.errors import DataError

SUFFIXES = (".jsonl", ".parquet")
"""Of the files that hold rows."""


@contextmanager
def opened(path: str | Path, *, also: str = "") -> Iterator[BinaryIO]:
    """
    The bytes of a `.jsonl` or `.parquet` file; `also` says what else is allowed, for the error.

    Raises:
        DataError: there is no such file, it has another suffix, or it cannot be read (now or while it is read).
    """
    file = Path(path)
    if file.suffix not in SUFFIXES:
        allowed = ", ".join(SUFFIXES) + also
        raise DataError(f"'{path}' has the suffix '{file.suffix}'; allowed: {allowed}")
    try:
        with file.open("rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise DataError(f"no such file: '{path}'") from error
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from error
