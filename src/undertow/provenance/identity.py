"""
What a dataset is: a digest over its files with their names, so that names are bound too; and one leaf a row.

A leaf is the digest of a record's canonical JSON, the same from JSON Lines and from any encoding of Parquet. Roots over
leaves have the shape of RFC 6962, section 2.1, without its leaf hash, which is made here.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from undertow.data.files import SUFFIXES
from undertow.data.records import PART, parts, read_part
from undertow.engines import choose
from undertow.errors import DataError
from undertow.provenance.statement import canonical

MANIFEST = "sha256-manifest/v1"
"""Name of the rule by which a digest is made: SHA-256 over the canonical JSON of [{path, sha256, size}]."""

LONGEST = 1024
"""Characters of a path, at most."""

SIZE = 32
"""Bytes of a leaf and of a root."""

EMPTY = hashlib.sha256(b"").digest()
"""Root over no leaves."""

_NODE = b"\x01"

CANON = "json-sorted/v1"
"""Name of the spelling: sorted keys, no spaces, ASCII; keys whose value is null are left out."""

ROW_SET = "row-set/v1"
"""Name of the rule by which rows that are in no file have a digest: that of their leaves in their own order."""

_SET = b"undertow row-set/v1\n"
_LEAF = b"\x00"

_BLOCK = 1 << 20
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a dataset."""

    path: str
    """Relative to the dataset, with `/`."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a dataset in the order of their paths."""

    entries: tuple[Entry, ...]

    @property
    def digest(self) -> str:
        """SHA-256 in hex over the canonical JSON."""
        content = [{"path": e.path, "sha256": e.sha256, "size": e.size} for e in self.entries]
        return hashlib.sha256(canonical(content)).hexdigest()

    def named(self, name: str) -> Manifest:
        """The same file under another name, where there is one file."""
        return Manifest(tuple(Entry(name, e.size, e.sha256) for e in self.entries))


def manifest_of(path: str | Path) -> Manifest:
    """
    The manifest of a file or of all files in a folder, hidden ones included.

    Raises:
        DataError: there is nothing, it holds a link or what is no file, a file changes while it is read, or two names
            cannot be told apart.
    """
    target = Path(path)
    try:
        files = list(_files(target))
        entries = [_entry(file, name) for file, name in files]
    except FileNotFoundError as error:
        raise DataError(f"no such file: '{error.filename or path}'") from error
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from error
    if not entries:
        raise DataError(f"'{path}' holds no file")
    return ordered_manifest(entries, str(path))


def ordered_manifest(entries: Iterable[Entry], where: str) -> Manifest:
    """
    The entries as a manifest, in order.

    Raises:
        DataError: a path leads out of the dataset, cannot be seen as it is, or reads like another.
    """
    ordered = tuple(sorted(entries, key=lambda entry: entry.path))
    seen: dict[str, str] = {}
    for entry in ordered:
        _refuse_path(entry.path, where)
        key = unicodedata.normalize("NFKC", entry.path).casefold()
        if key in seen:
            raise DataError(
                f"{where} holds {seen[key]!a} and {entry.path!a}, which file systems or readers "
                "take for the same name"
            )
        seen[key] = entry.path
    return Manifest(ordered)


def _refuse_path(path: str, where: str) -> None:
    parts = path.split("/")
    if not path or len(path) > LONGEST or "\\" in path or ":" in path:
        raise DataError(
            f"{where} holds the path {path[:80]!a}; allowed: up to {LONGEST} plain characters"
        )
    if any(part in ("", ".", "..") for part in parts):
        raise DataError(f"{where} holds the path {path!a}, which leads out of the dataset")
    if any(unicodedata.category(character) in _HIDDEN for character in path):
        raise DataError(f"{where} holds the path {path!a} with characters that cannot be seen")
    if unicodedata.normalize("NFC", path) != path:
        raise DataError(f"{where} holds the path {path!a}, which is not in Unicode's form NFC")


def _files(target: Path) -> Iterator[tuple[Path, str]]:
    kind = os.lstat(target).st_mode
    if stat.S_ISREG(kind):
        yield target, target.name
    elif stat.S_ISDIR(kind):
        yield from _below(target, target)
    else:
        _refuse_kind(target)


def _below(folder: Path, top: Path) -> Iterator[tuple[Path, str]]:
    with os.scandir(folder) as listing:
        for entry in sorted(listing, key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from _below(path, top)
            elif entry.is_file(follow_symlinks=False):
                yield path, path.relative_to(top).as_posix()
            else:
                _refuse_kind(path)


def _refuse_kind(path: Path) -> None:
    what = "a symbolic link" if path.is_symlink() else "no ordinary file"
    raise DataError(
        f"'{path}' is {what}, whose content can change without a trace; allowed: ordinary files",
        hint="name the file itself, or copy it into the folder (cp -L)",
    )


def _entry(path: Path, name: str) -> Entry:
    digest = hashlib.sha256()
    size = 0
    # Not followed, so that a link put there since the folder was listed is no way out.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(handle, "rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
        if os.fstat(stream.fileno()).st_size != size:
            raise DataError(f"'{path}' changed while it was read")
    return Entry(name, size, digest.hexdigest())


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
    return hashlib.sha256(_LEAF + text.encode("ascii")).digest()


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
            hashlib.sha256(_NODE + level[at : at + 2 * SIZE]).digest()
            for at in range(0, pairs, 2 * SIZE)
        ]
        # The last of an odd number rises as it is, which gives RFC 6962's tree.
        level = memoryview(b"".join(above) + bytes(level[pairs:]))
    return bytes(level) or EMPTY


def row_set(leaves: bytes) -> str:
    """
    SHA-256 in hex over the leaves in their own order: the same for the same rows in any order.
    """
    ordered = sorted(leaves[at : at + SIZE] for at in range(0, len(leaves), SIZE))
    return hashlib.sha256(_SET + b"".join(ordered)).hexdigest()


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
