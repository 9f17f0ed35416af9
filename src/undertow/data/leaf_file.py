"""
Leaves of as many rows as there are, in memory that does not grow with them: what is more than a little lies on disk.

What a clean enters of every row, and a ledger holds, are such; `row_set` and `surplus` order them piece by piece.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from undertow.data.row_leaves import SIZE
from undertow.errors import UndertowError

HELD = 1 << 22
"""Bytes that are held before they go to disk, and that are read from there at once."""

AT_ONCE = 1 << 22
"""Leaves that are ordered at once, about: 270 MB, half of them a copy."""

_SET = b"undertow row-set/v1\n"


class LeafFile:
    """Leaves one behind the other; the file that they go to has no name, and ends with this object."""

    def __init__(self, leaves: bytes = b"") -> None:
        """The first ones."""
        self._held = bytearray()
        self._file: BinaryIO | None = None
        self._on_disk = 0
        self.extend(leaves)

    def extend(self, leaves: bytes) -> None:
        """
        The next ones, 32 bytes each.

        Raises:
            UndertowError: the folder of temporary files is full, or cannot be written to.
        """
        self._held += leaves
        if len(self._held) >= HELD:
            self._store()

    def __len__(self) -> int:
        """How many there are."""
        return (self._on_disk + len(self._held)) // SIZE

    def __eq__(self, other: object) -> bool:
        """Whether the other one holds the same, in the same order."""
        if not isinstance(other, LeafFile) or len(self) != len(other):
            return False
        return all(
            ours == theirs for ours, theirs in zip(self.blocks(), other.blocks(), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __bytes__(self) -> bytes:
        """All of them in memory."""
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """All of them in their order, so many at once."""
        if self._file is not None:
            self._store()
            for at in range(0, self._on_disk, HELD):
                yield os.pread(self._file.fileno(), min(HELD, self._on_disk - at), at)
        elif self._held:
            yield bytes(self._held)

    def words(self) -> NDArray[np.uint64]:
        """The leaves as four big-endian numbers each, shape (leaves, 4), mapped where they lie on disk."""
        if self._file is None:
            return np.frombuffer(bytes(self._held), ">u8").reshape(-1, SIZE // 8)
        self._store()
        return np.memmap(self._file, ">u8", "r", shape=(len(self), SIZE // 8))

    def __del__(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # a full disk takes nothing that is left
                self._file.close()

    def _store(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it ends with this object)
            self._file.write(self._held)
            self._file.flush()
        except OSError as error:
            raise UndertowError(
                f"what is known of each row cannot be kept in '{tempfile.gettempdir()}': {error.strerror or error}",
                hint="free some space there, 64 bytes a row, or name another folder: TMPDIR=FOLDER before the command",
            ) from error
        self._on_disk += len(self._held)
        self._held = bytearray()


def row_set(*parts: bytes | LeafFile) -> str:
    """
    SHA-256 in hex over all leaves in their own order: the same for the same rows in any order.

    >>> row_set(b"b" * 32, b"a" * 32) == row_set(b"a" * 32 + b"b" * 32)
    True
    """
    digest = hashlib.sha256(_SET)
    rows = sum(len(part) if isinstance(part, LeafFile) else len(part) // SIZE for part in parts)
    turns = -(-rows // AT_ONCE)
    for turn in range(turns):
        digest.update(_ordered(parts, turn, turns).data)
    return digest.hexdigest()


def surplus(ours: LeafFile, theirs: LeafFile) -> LeafFile:
    """
    Our leaves in their own order without as many of each as are among theirs.

    >>> bytes(surplus(LeafFile(b"a" * 96 + b"b" * 32), LeafFile(b"a" * 32 + b"c" * 32))) == b"a" * 64 + b"b" * 32
    True

    Raises:
        UndertowError: as `LeafFile.extend`.
    """
    left = LeafFile()
    # Places of what is ordered, and what is left of it, take as much again.
    turns = -(-2 * (len(ours) + len(theirs)) // AT_ONCE)
    for turn in range(turns):
        mine, others = _ordered([ours], turn, turns), _ordered([theirs], turn, turns)
        first = np.searchsorted(others, mine)
        among = np.searchsorted(others, mine, "right") - first
        nth = np.arange(len(mine)) - np.searchsorted(mine, mine)
        beyond = mine[nth >= among]
        for at in range(0, len(beyond), HELD // SIZE):
            left.extend(beyond[at : at + HELD // SIZE].tobytes())
    return left


def _ordered(parts: Sequence[bytes | LeafFile], turn: int, turns: int) -> NDArray[np.bytes_]:
    some = [_of_turn(block, turn, turns) for part in parts for block in _blocks(part)]
    ordered = np.concatenate([np.empty(0, f"S{SIZE}"), *some])
    ordered.sort()
    return ordered


def _blocks(part: bytes | LeafFile) -> Iterator[bytes]:
    return part.blocks() if isinstance(part, LeafFile) else iter([part])


def _of_turn(block: bytes, turn: int, turns: int) -> NDArray[np.bytes_]:
    """Those of the leaves that stand in one of so many equal stretches of all that there could be."""
    leaves: NDArray[np.bytes_] = np.frombuffer(block, f"S{SIZE}")
    if turns > 1:
        first = np.frombuffer(block, ">u2").reshape(-1, SIZE // 2)[:, 0].astype(np.int64)
        leaves = leaves[first * turns >> 16 == turn]
    return leaves
