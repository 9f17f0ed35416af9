"""A shard of a dataset: what its name says of it, and its bytes, unpacked a block at a time."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from weakref import WeakKeyDictionary, finalize

from undertow.data.file_forms import HEAD, refuse_misnamed
from undertow.data.remote_files import is_url, opened_url, ranges_read, url_ranges
from undertow.errors import DataError

STANDARD_INPUT = "-"
"""The reference that stands for JSON Lines on standard input."""

HUB = "hub"
"""Format of what the library `datasets` reads from the hub."""

UNPACKED = 1 << 14
"""Bytes that are unpacked at a time: what stands before a cut is read up to here before it."""


@dataclass(frozen=True)
class Shard:
    """A file of rows, or a split on the hub."""

    path: str
    """As it is called in messages and opened: a path, a URL, `-`, or `org/name[:config]@split`."""
    format: str
    """`jsonl`, `json`, `csv`, `tsv`, `parquet`, `arrow` or `hub`."""
    compression: str | None = None
    """`gzip` or `zstd`."""
    split: str | None = None
    """The split that its name says it belongs to."""

    @property
    def named(self) -> str:
        """What it is called in an error."""
        return "standard input" if self.path == STANDARD_INPUT else f"'{self.path}'"


@contextlib.contextmanager
def shard_bytes(shard: Shard) -> Iterator[BinaryIO]:
    """
    The bytes of a shard, without its compression.

    Raises:
        DataError: there is no such file, it is plainly something else than its name says, or it cannot be read (now or
            while it is read).
    """
    if shard.path == STANDARD_INPUT:
        yield _standard_input()
        return
    with packed_bytes(shard) as stream:
        head = cast(io.BufferedReader, stream).peek(HEAD)[:HEAD]
        refuse_misnamed(shard.path, shard.format, shard.compression, head)
        yield _unpacked(stream, shard.compression)


@contextlib.contextmanager
def packed_bytes(shard: Shard) -> Iterator[BinaryIO]:
    """
    The bytes of a shard as they lie.

    Raises:
        DataError: there is no such file, it is a pipe, or it cannot be read (now or while it is read).
    """
    try:
        if not is_url(shard.path) and stat.S_ISFIFO(os.stat(shard.path).st_mode):
            raise DataError(
                f"{shard.named} is a pipe, and rows are read more than once; allowed: a file",
                hint="write a file first, or give the rows on standard input, which is kept while they are read: -",
            )
        with opened_url(shard.path) if is_url(shard.path) else open(shard.path, "rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise DataError(f"no such file: '{shard.path}'") from error
    except OSError as error:
        raise DataError(f"cannot read '{shard.path}': {error.strerror or error}") from error


def shard_ranges(shard: Shard, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """
    The bytes of a shard as they lie, from one place to before another, range by range; fewer where it ends before.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    if is_url(shard.path):
        yield from url_ranges(shard.path, ranges)
        return
    with packed_bytes(shard) as stream:
        # A buffer would be filled with what lies behind a range.
        yield from ranges_read(cast(Any, stream).raw, ranges)


_kept_input: WeakKeyDictionary[Any, BinaryIO] = WeakKeyDictionary()


def _standard_input() -> BinaryIO:
    """
    What stands on standard input, from its beginning, however often: kept in a file without a name.

    Raises:
        DataError: there is no room for it.
    """
    stream = sys.stdin.buffer
    if stream not in _kept_input:
        kept = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - as long as the stream
        try:
            shutil.copyfileobj(stream, kept)
        except OSError as error:
            raise DataError(
                f"standard input cannot be kept in '{tempfile.gettempdir()}': {error.strerror or error}",
                hint="name a folder with room by TMPDIR, or write the rows into a file and scan that",
            ) from error
        _kept_input[stream] = kept
        finalize(stream, kept.close)
    _kept_input[stream].seek(0)
    return _kept_input[stream]


def damage(shard: Shard, rows: int, why: object) -> DataError:
    """The error of a shard that ends too early, or cannot be read on, behind so many rows."""
    lines = str(why).strip().splitlines() or [type(why).__name__]
    return DataError(
        f"{shard.named}, row {rows + 1}: the file is cut off or damaged here ({lines[0]}), so that what comes "
        f"behind row {rows} is not known",
        hint="fetch the file again and compare its checksum, or leave it out and name the others",
    )


class _Gunzipped:
    """What gzip packed, given as far as it goes: what stands before a cut comes out whole."""

    def __init__(self, stream: BinaryIO) -> None:
        self._file = gzip.GzipFile(fileobj=stream, mode="rb")

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read1(size)
        except (EOFError, zlib.error) as error:
            raise OSError(str(error)) from error


def _unpacked(stream: BinaryIO, compression: str | None) -> BinaryIO:
    if compression is None:
        return stream
    if compression == "gzip":
        return cast(BinaryIO, _Gunzipped(stream))
    import pyarrow

    raw: Any = pyarrow.CompressedInputStream(pyarrow.PythonFile(stream, mode="r"), compression)
    return cast(BinaryIO, raw)
