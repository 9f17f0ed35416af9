"""
One leaf a row: the digest of a record's canonical JSON, the same from JSON Lines and from any encoding of Parquet.

Roots over leaves have the shape of RFC 6962, section 2.1, without its leaf hash, which is made here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from undertow.data.lines import LineError, parsed
from undertow.data.opening import SUFFIXES, opened
from undertow.engines.choice import choose
from undertow.errors import DataError

SIZE = 32
"""Bytes of a leaf and of a root."""

EMPTY = sha256(b"").digest()
"""Root over no leaves."""

_NODE = b"\x01"


CANON = "json-sorted/v1"
"""Name of the spelling: sorted keys, no spaces, ASCII; keys whose value is null are left out."""

ROW_SET = "row-set/v1"
"""Name of the rule by which rows that are in no file have a digest: that of their leaves in their own order."""

_SET = b"undertow row-set/v1\n"
_LEAF = b"\x00"
_SPREAD = 32 << 20
"""Bytes from which a file is spread over processes."""

_PARTS = 8
"""Parts a core, so that the last one to finish is not waited for long."""


class RowError(ValueError):
    """A record that has no canonical spelling."""


def leaf(record: object) -> bytes:
    """
    SHA-256 over a zero byte and the canonical JSON of the whole record, all its columns.

    Raises:
        RowError: it holds NaN, an infinity or what is no JSON (a date, bytes).
    """
    try:
        text = _spelled(record)
        if "null" in text:  # Parquet fills columns that a row does not have
            text = _spelled(_without_nulls(record))
    except (ValueError, TypeError) as error:
        raise RowError(f"no canonical JSON: {error}") from error
    return sha256(_LEAF + text.encode("ascii")).digest()


def root(leaves: bytes) -> bytes:
    """
    The root over leaves of 32 bytes, one behind the other.

    >>> root(b"").hex()[:8]
    'e3b0c442'
    """
    level = memoryview(leaves)
    while len(level) > SIZE:
        pairs = len(level) - len(level) % (2 * SIZE)
        above = [
            sha256(_NODE + level[at : at + 2 * SIZE]).digest() for at in range(0, pairs, 2 * SIZE)
        ]
        # The last of an odd number rises as it is, which gives RFC 6962's tree.
        level = memoryview(b"".join(above) + bytes(level[pairs:]))
    return bytes(level) or EMPTY


def row_set(leaves: bytes) -> str:
    """
    SHA-256 in hex over the leaves in their own order: the same for the same rows in any order.
    """
    ordered = sorted(leaves[at : at + SIZE] for at in range(0, len(leaves), SIZE))
    return sha256(_SET + b"".join(ordered)).hexdigest()


@dataclass(frozen=True)
class Rows:
    """The rows of a dataset by their leaves."""

    leaves: bytes

    @cached_property
    def count(self) -> int:
        """How many there are."""
        return len(self.leaves) // SIZE

    @cached_property
    def merkle(self) -> str:
        """Root over them in their order, in hex."""
        return root(self.leaves).hex()

    @cached_property
    def set(self) -> str:
        """Their row set, in hex."""
        return row_set(self.leaves)


def leaves_of(path: str | Path, *, jobs: int | None = None) -> bytes:
    """
    The leaves of a file's rows in their order, 32 bytes each; blank lines are no rows.

    Large JSON Lines and Parquet files are spread over processes.

    Raises:
        DataError: naming the file and the row, if it is no JSON, has a key twice or no canonical spelling.
    """
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
    whole = Path(path).suffix == ".jsonl"
    engine = choose("inprocess" if size < _SPREAD else "processes", jobs)
    parts = _lines_parts(path, size) if whole else _group_parts(path)
    worker = _LeavesOf(str(path), lines=whole)
    found = dict(engine.map(worker, parts))
    return b"".join(found[index] for index in sorted(found))


def rows_files(path: Path) -> Iterator[Path]:
    """
    The files of rows of a dataset, in the order of their paths: the file itself, or those in the folder.
    """
    if not path.is_dir():
        yield path
        return
    found = (each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
    yield from sorted(found, key=lambda each: each.relative_to(path).as_posix())


@dataclass(frozen=True)
class _LeavesOf:
    path: str
    lines: bool

    def __call__(self, part: tuple[int, int]) -> bytes:
        return (_lines_leaves if self.lines else _group_leaves)(self.path, *part)


def _lines_parts(path: str | Path, size: int) -> list[tuple[int, int]]:
    """Byte ranges; a line belongs to the range in which it begins."""
    step = max(_SPREAD // 4, size // (_PARTS * (os.cpu_count() or 1)) + 1)
    return [(at, min(at + step, size)) for at in range(0, size, step)] or [(0, 0)]


def _lines_leaves(path: str, start: int, stop: int) -> bytes:
    leaves = bytearray()
    with opened(path) as stream:
        if start:
            stream.seek(start - 1)
            stream.readline()  # the rest of a line that began before
        at = stream.tell()
        for number, line in enumerate(_until(stream, at, stop), start=1):
            try:
                row_leaf = _line_leaf(line, first=start == 0 and number == 1)
            except LineError as error:
                where = f"row {number}" if not start else f"row {number} behind byte {at}"
                raise DataError(f"'{path}', {where}: {error}") from error
            if row_leaf is not None:
                leaves += row_leaf
    return bytes(leaves)


def _until(stream: Any, at: int, stop: int) -> Iterator[bytes]:
    while at < stop and (line := stream.readline()):
        at += len(line)
        yield line


def _line_leaf(line: bytes, *, first: bool) -> bytes | None:
    try:
        # The common line, fast: a record without anything special.
        record = _DECODER.decode(line.decode("utf-8"))
        return leaf(record)
    except RowError as error:
        raise LineError("not-canonical", str(error)) from error
    except _TwiceError as error:
        raise LineError("key-twice", str(error)) from error
    except (ValueError, RecursionError):
        # A blank line, a byte order mark, or a fault, which this names.
        return parsed(line, partial(_again, line), first=first)


def _again(line: bytes, record: object) -> bytes:
    text = line.decode("utf-8-sig").strip()
    return leaf(_DECODER.decode(text))


class _TwiceError(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"has the key {twice!r} twice, which readers understand differently")
    return table


def _bare(word: str) -> float:
    raise RowError(f"the bare word {word} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_bare)

_spelled: Callable[[object], str] = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), allow_nan=False
).encode


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in value]
    return value


def _group_parts(path: str | Path) -> list[tuple[int, int]]:
    from pyarrow import ArrowException, parquet

    try:
        with opened(path) as stream:
            groups = parquet.ParquetFile(stream).num_row_groups
    except (ArrowException, OSError, ValueError) as error:
        raise DataError(f"'{path}' is damaged or not Parquet ({error})") from error
    return [(group, group + 1) for group in range(groups)]


def _group_leaves(path: str, start: int, stop: int) -> bytes:
    from pyarrow import ArrowException, parquet

    leaves = bytearray()
    try:
        with opened(path) as stream:
            file = parquet.ParquetFile(stream, buffer_size=1 << 20)
            for batch in file.iter_batches(batch_size=4096, row_groups=list(range(start, stop))):
                for record in batch.to_pylist():
                    leaves += leaf(record)
    except (ArrowException, OSError, ValueError) as error:
        row = len(leaves) // SIZE + 1
        raise DataError(f"'{path}', row group {start + 1}, row {row}: {error}") from error
    return bytes(leaves)
