"""
The digest of a dataset: SHA-256 over a manifest of its files' paths, sizes and digests, so that names are bound too.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from undertow.errors import DataError
from undertow.provenance.statement import canonical

MANIFEST = "sha256-manifest/v1"
"""Name of the rule by which a digest is made: SHA-256 over the canonical JSON of [{path, sha256, size}]."""

LONGEST = 1024
"""Characters of a path, at most."""

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
