"""Files: anything written whole or not at all, and digests of what lies on the disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from undertow.errors import InputError, ModelError, UndertowError

_DECISIVE = (
    "*.safetensors",
    "config.json",
    "adapter_config.json",
    "tokenizer*.json",
    "chat_template*",
    "*.model",
)
_CHUNK = 1 << 24

PICKLED = (".bin", ".ckpt", ".h5", ".joblib", ".msgpack", ".pickle", ".pkl", ".pt", ".pth")
"""Endings of the files in which a program may lie that runs when they are opened; none of them ever is."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_count = itertools.count()
_MOST_WRITERS = 16
"""Of one file at once whose remains are taken up, were they killed."""


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
    with _refused_in_words(path), whole_file(Path(path)) as file:
        yield file


@contextlib.contextmanager
def turn_to_write(path: str | Path) -> Iterator[None]:
    """
    Within the block no other process that asks for the same has its turn: who reads a file and writes it anew loses nothing.

    A lock lies beside the file meanwhile, and goes with the block; a killed process holds nobody up, and the next one
    clears it away. A file system without locks keeps nobody out.

    Raises:
        UndertowError: if there is no space left.
        InputError: if the place cannot be written to.
    """
    place = Path(path)
    lock = place.with_name(f".{place.name}.lock")
    while True:
        with _refused_in_words(place):
            file = lock.open("wb")
        with file:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever held it before has removed it, and the next one would take another.
            if not is_at(file, lock):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


@contextlib.contextmanager
def _refused_in_words(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UndertowError(
                f"no space left for '{path}'; nothing was overwritten",
                hint=f"free some space in '{Path(path).parent}' and run the same command again",
            ) from error
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """
    The same, for whoever has words of its own for what the system refuses.

    Raises:
        OSError: there is no space left, or the place cannot be written to.
    """
    partial, file = _own_partial(target)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            # Under the lock: nobody else takes it for one that was left behind.
            os.replace(partial, target)
        _sync_directory(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _own_partial(target: Path) -> tuple[Path, BinaryIO]:
    """A file beside the target that nobody else writes to: one that a killed writer left is taken up, so that none stays."""
    for number in range(_MOST_WRITERS):
        partial = target.with_name(f".{target.name}.{number}.partial")
        partial.touch()
        # Neither emptied before it is held, nor opened to append: writers may go back to patch what they wrote.
        try:
            file = partial.open("r+b")
        except FileNotFoundError:  # whoever held it has just given it its name
            continue
        # Held by another writer, or by none on a file system without locks; whoever held it may have renamed it since.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(file, partial):
                file.truncate(0)
                return partial, file
        file.close()
    partial = target.with_name(f".{target.name}.{os.getpid()}.{next(_count)}.partial")
    return partial, partial.open("wb")


def is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is the one that stands there: a lock that was removed meanwhile keeps nobody out."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def model_parts(path: str | Path) -> list[str]:
    """
    The base of a model's reference and the adapters on it, in the order in which they are merged.

    >>> model_parts("base+first+second")
    ['base', 'first', 'second']

    Raises:
        ModelError: nothing stands on one side of a `+`, or a part is a pickled file.
    """
    # A folder or a GGUF file may have the sign in its name.
    parts = [str(path)] if Path(path).exists() else str(path).split("+")
    for part in parts:
        if Path(part).suffix.lower() in PICKLED and Path(part).is_file():
            raise ModelError(
                f"'{part}' is pickled, or of another format in which programs may lie, which undertow never opens",
                hint="convert it to safetensors where you trust it, and name the folder",
            )
    if not all(parts):
        raise ModelError(
            f"'{path}' names an adapter or a base that is empty",
            hint="name the base, then its adapters in the order they were trained: BASE+ADAPTER+ADAPTER",
        )
    return parts


def pickled_in(folder: Path) -> list[str]:
    """The names of the files in a folder that are pickled by their endings, in order."""
    return sorted(file.name for file in folder.glob("*") if file.suffix.lower() in PICKLED)


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    for part in _mapped(Path(path)):
        digest.update(part)
    return digest.hexdigest()


def model_digest(path: str | Path) -> str | None:
    """
    SHA-256 over names, sizes and contents of the weights, configuration, tokenizer and template, in name order.

    Of a GGUF file it is the file's own; with adapters on it, that of its digest and then of theirs as above. None for a
    model that is not here (on a hub, its revision identifies it).

    Raises:
        ModelError: an adapter on it is no folder here.
    """
    base, *adapters = (Path(part) for part in model_parts(path))
    if base.is_dir():
        return _folders_digest([base, *adapters], hashlib.sha256())
    if base.suffix != ".gguf" or not base.is_file():
        return None
    whole = file_digest(base)
    return _folders_digest(adapters, hashlib.sha256(whole.encode())) if adapters else whole


def _folders_digest(folders: list[Path], digest: hashlib._Hash) -> str:
    for part in folders:
        if not part.is_dir():
            raise ModelError(f"no adapter in '{part}': no such folder")
        for file in sorted({file for pattern in _DECISIVE for file in part.glob(pattern)}):
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            for part_of_file in _mapped(file):
                digest.update(part_of_file)
    return digest.hexdigest()


def _sync_directory(directory: Path) -> None:
    # Without this the new name may be lost in a power cut. Some file systems refuse it.
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _mapped(file: Path) -> Iterator[memoryview]:
    """The content in parts, mapped and not copied: copying costs a tenth of the time that hashing takes."""
    with file.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return
        with (
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
            memoryview(content) as whole,
        ):
            for at in range(0, len(whole), _CHUNK):
                with whole[at : at + _CHUNK] as part:
                    yield part
