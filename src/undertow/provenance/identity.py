"""How statements name a dataset: a digest over its files with their names, so that names are bound too; and its rows' leaves."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from undertow.data.dataset import NoRowsError, RowDataset, open_dataset
from undertow.data.leaf_file import LeafFile, row_set
from undertow.data.part_leaves import in_order, part_leaves
from undertow.data.records import parts
from undertow.data.remote_files import is_url
from undertow.data.row_leaves import RunningRoot
from undertow.data.shard import HUB, Shard, packed_bytes
from undertow.engines.engine import InProcess
from undertow.engines.ray_data import spread_of
from undertow.errors import DataError
from undertow.provenance.statement import canonical

MANIFEST = "sha256-manifest/v1"
"""Name of the rule by which a digest is made: SHA-256 over the canonical JSON of [{path, sha256, size}]."""

LONGEST = 1024
"""Characters of a path, at most."""

CANON = "json-sorted/v2"
"""Name of the spelling: no spaces, ASCII; keys sorted and nulls left out, but in what a chat template writes as it stands."""

ROW_SET = "row-set/v1"
"""Name of the rule by which rows that are in no file have a digest: that of their leaves in their own order."""

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
    The manifest of a file or of all files in a folder, hidden ones included; of anything else, that of its shards.

    Raises:
        DataError: there is nothing, it holds a link or what is no file, a file changes while it is read, or two names
            cannot be told apart.
    """
    target = Path(path)
    if not os.path.lexists(target):
        return _shards_manifest(open_dataset(path))
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


def _shards_manifest(dataset: RowDataset) -> Manifest:
    """Of what a pattern, a URL or a split names. Splits on the hub are no files: the root over their rows stands there."""
    paths = [shard.path for shard in dataset.shards]
    top = len(os.path.commonpath([os.path.dirname(path) for path in paths]))
    entries = []
    for shard in dataset.shards:
        name = shard.path[top:].lstrip("/")
        if shard.format == HUB:
            rows = Rows(_leaves([shard]))
            name = re.sub("[:@]", "/", shard.path)
            entries.append(Entry(name, rows.count, rows.merkle))
        elif is_url(shard.path):
            with packed_bytes(shard) as stream:
                entries.append(Entry(name, *_hashed(stream)))
        else:
            if os.path.islink(shard.path):
                _refuse_kind(Path(shard.path))
            entries.append(_entry(Path(shard.path), name))
    return ordered_manifest(entries, f"'{dataset.reference}'")


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
    # Not followed, so that a link put there since the folder was listed is no way out.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(handle, "rb", buffering=0) as stream:
        before = _state(stream)
        size, digest = _hashed(stream)
        if _state(stream) != before or before[0] != size:
            raise DataError(f"'{path}' changed while it was read")
    return Entry(name, size, digest)


def _state(stream: IO[bytes]) -> tuple[int, int, int]:
    """Size and times: what is written over in place has the same size."""
    status = os.fstat(stream.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _hashed(stream: IO[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while block := stream.read(_BLOCK):
        digest.update(block)
        size += len(block)
    return size, digest.hexdigest()


@dataclass(frozen=True)
class Rows:
    """The rows of a dataset by their leaves; memory does not grow with them."""

    leaves: LeafFile

    @cached_property
    def count(self) -> int:
        """How many there are."""
        return len(self.leaves)

    @cached_property
    def merkle(self) -> str:
        """Root over them in their order, in hex."""
        whole = RunningRoot()
        for block in self.leaves.blocks():
            whole.extend(block)
        return whole.hexdigest()

    @cached_property
    def set(self) -> str:
        """Their row set, in hex."""
        return row_set(self.leaves)


def leaves_of(data: str | Path) -> LeafFile:
    """
    The leaves of a dataset's rows in their order; blank lines are no rows.

    Large JSON Lines and Parquet files are spread over processes.

    Raises:
        DataError: naming the shard and the row, if it is no JSON, has a key twice or no canonical spelling.
    """
    return _leaves(open_dataset(data).shards)


def rows_of(data: str | Path) -> Rows | None:
    """
    The rows of a dataset; None where it holds no shard.

    Raises:
        DataError: naming the shard and the row, if it is no JSON, has a key twice or no canonical spelling.
    """
    try:
        return Rows(leaves_of(data))
    except NoRowsError:
        return None


def older_rows(folder: Path) -> Rows | None:
    """
    The rows of a folder as they were counted before other formats were read: all its JSON Lines and Parquet files.

    Statements of that time are about these.

    Raises:
        DataError: naming the file and the row, if it is no JSON, has a key twice or no canonical spelling.
    """
    kinds = {".jsonl": "jsonl", ".parquet": "parquet"}
    files = [each for each in folder.rglob("*") if each.suffix in kinds and each.is_file()]
    files.sort(key=lambda file: file.relative_to(folder).as_posix())
    shards = tuple(Shard(str(file), kinds[file.suffix]) for file in files)
    return Rows(_leaves(shards)) if shards else None


def _leaves(shards: Sequence[Shard]) -> LeafFile:
    ranges = [part for shard in shards for part in parts(shard)]
    size = sum(os.path.getsize(shard.path) for shard in shards if os.path.isfile(shard.path))
    spread = spread_of(None, None, size) or InProcess().map
    leaves = LeafFile()
    for some in in_order(spread(part_leaves, ranges)):
        leaves.extend(some)
    return leaves
