"""
How many different items a stream holds, exactly while they are few and within a known error beyond, in fixed memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_DIGEST = 8
_PENDING = 1 << 18
"""Digests that wait before they are merged: merging sorts, so it is done seldom."""


def digests(items: Iterable[bytes]) -> NDArray[np.uint64]:
    """64 bits of BLAKE2b of each item, shape (items,); the same in every process, unlike `hash`."""
    joined = b"".join(hashlib.blake2b(item, digest_size=_DIGEST).digest() for item in items)
    return np.frombuffer(joined, dtype=np.uint64)


@dataclass
class Distinct:
    """
    Counts different items by adaptive sampling: of the digests seen, those below 2^(64 - depth) are remembered, and
    the depth grows by one whenever they are more than `capacity`.

    Source: Wegman's algorithm, analysed in Flajolet, On adaptive sampling, Computing 43 (1990): the estimate is
    unbiased up to small periodic terms, its relative standard error about 1.20 / sqrt(capacity).
    """

    capacity: int = 1 << 20
    seen: int = 0
    """Items, with repetitions."""
    depth: int = 0
    _kept: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    _pending: list[NDArray[np.uint64]] = field(default_factory=list)
    _waiting: int = 0

    def add(self, found: NDArray[np.uint64]) -> None:
        """Take the digests of the next items, shape (items,)."""
        self.seen += len(found)
        below = self._below(found)
        self._pending.append(below)
        self._waiting += len(below)
        if self._waiting >= _PENDING or len(self._pending) >= _PENDING:
            self._merge()

    @property
    def exact(self) -> bool:
        """Whether `count` is no estimate."""
        self._merge()
        return self.depth == 0

    @property
    def count(self) -> int:
        """Different items, never more than were seen."""
        self._merge()
        return min(self.seen, len(self._kept) << self.depth)

    @property
    def repeated(self) -> int:
        """Items that an earlier one is equal to."""
        return self.seen - self.count

    @property
    def error(self) -> float:
        """Standard error of `count`, in items; 0 where it is exact."""
        return 0.0 if self.exact else 1.2 / float(np.sqrt(self.capacity)) * self.count

    def _below(self, found: NDArray[np.uint64]) -> NDArray[np.uint64]:
        if not self.depth:
            return found
        return found[found < np.uint64(1 << (64 - self.depth))]

    def _merge(self) -> None:
        if not self._pending:
            return
        self._kept = np.unique(np.concatenate([self._kept, *self._pending]))
        self._pending, self._waiting = [], 0
        while len(self._kept) > self.capacity and self.depth < 63:
            self.depth += 1
            self._kept = self._below(self._kept)
