"""
One leaf a row: the digest of a record's canonical JSON, the same from JSON Lines and from any encoding of Parquet.

Roots over leaves have the shape of RFC 6962, section 2.1, without its leaf hash, which is made here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from undertow.data.files import SUFFIXES
from undertow.data.records import PART, parts, read_part
from undertow.engines import choose

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
    ranges = parts(path)
    engine = choose("inprocess" if Path(path).stat().st_size < PART else "processes", jobs)
    leaves = dict(engine.map(_LeavesOf(str(path)), ranges))
    return b"".join(leaves[index] for index in range(len(ranges)))


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

    def __call__(self, part: tuple[int, int]) -> bytes:
        return b"".join(read_part(self.path, part, leaf))


_spelled: Callable[[object], str] = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), allow_nan=False
).encode


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_without_nulls(entry) for entry in value]
    return value
