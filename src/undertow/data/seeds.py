"""Named random streams, one seed for each purpose, and uniform samples of streams of unknown length, in one piece or in many."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray


def derive(seed: int, *names: str | int) -> int:
    """
    The seed of a purpose: the top 63 bits of SHA-256 over the canonical JSON of the arguments.

    The names are what the purpose is, e.g. `derive(7, "trait", 0, "sampling")`.
    """
    text = json.dumps([seed, *names], separators=(",", ":"))
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A generator for a purpose, seeded by `derive`."""
    return np.random.default_rng(derive(seed, *names))


T = TypeVar("T")

_LEAST = 1e-300
"""An exponential draw of exactly 0 would make the weight 1, and the gap that follows 0 / 0."""


@dataclass
class Reservoir(Generic[T]):
    """
    At most `size` items, each set of that size equally likely (Algorithm L; Li, Reservoir-sampling algorithms of time
    complexity O(n(1 + log(N/n))), ACM TOMS 20, 1994).

    Random numbers are drawn for the items that are taken, not for those that are passed over.
    """

    size: int
    """At least 1."""
    generator: np.random.Generator
    seen: int = 0
    _items: list[T] = field(default_factory=list)
    _log_weight: float = 0.0
    _next: int = 0
    """Number, from 0, of the next item that is taken once the reservoir is full."""

    def extend(self, items: Sequence[T]) -> None:
        """Take or pass over the next items of the stream."""
        start, self.seen = self.seen, self.seen + len(items)
        room = self.size - len(self._items)
        if room > 0:
            self._items.extend(items[:room])
            if len(self._items) < self.size:
                return
            if len(items) >= room:
                self._skip(start + room - 1)
        while self._next < self.seen:
            self._items[int(self.generator.integers(self.size))] = items[self._next - start]
            self._skip(self._next)

    def sample(self) -> list[T]:
        """What is held, in an order drawn by a child of the generator: any first part of it is a uniform sample as well."""
        order = self.generator.spawn(1)[0].permutation(len(self._items))
        return [self._items[i] for i in order]

    def _skip(self, last: int) -> None:
        drawn = self.generator.standard_exponential(2)
        self._log_weight -= max(float(drawn[0]), _LEAST) / self.size
        weight = min(math.exp(self._log_weight), 1 - 2**-53)
        self._next = last + 1 + math.floor(float(drawn[1]) / -math.log1p(-weight))


Keys = NDArray[np.uint64]

_ALL = np.uint64(2**64 - 1)


def keyed(digests: Keys, seed: int) -> Keys:
    """
    A random key of each of some digests, shape (items,), for this seed: twice the finaliser of SplitMix64 (Steele, Lea and
    Flood, OOPSLA 2014), which maps 64 bits onto 64.
    """
    keys = digests ^ np.uint64(seed % 2**64)
    for _ in range(2):
        keys = keys + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            keys = (keys ^ (keys >> np.uint64(shift))) * np.uint64(factor)
        keys ^= keys >> np.uint64(31)
    return keys


@dataclass
class LowestKeys(Generic[T]):
    """
    The items with the `size` lowest of their random keys: a uniform sample without replacement (bottom-k; Cohen and
    Kaplan, Summarizing data using bottom-k sketches, PODC 2007), whatever the pieces in which it is made.
    """

    size: int
    """At least 1."""
    limit: np.uint64 = _ALL
    """No item with a higher key can be among them."""
    _keys: list[Keys] = field(default_factory=list)
    _items: list[T] = field(default_factory=list)

    def add(self, keys: Keys, items: Sequence[T]) -> None:
        """The next items, each with its key, 64 random bits."""
        self._keys.append(keys)
        self._items.extend(items)
        if len(self._items) > self.size + self.size // 4:
            self.lowest()

    def lowest(self) -> tuple[Keys, list[T]]:
        """The keys and the items so far, in the order in which they came; of two with one key, the first."""
        keys = np.concatenate([*self._keys, np.empty(0, np.uint64)])
        if len(keys) >= self.size:
            order = np.argsort(keys, kind="stable")[: self.size]
            self.limit = keys[order[-1]]
            order.sort()
            keys, self._items = keys[order], [self._items[i] for i in order]
        self._keys = [keys]
        return keys, self._items


class RowStreams:
    """
    For each row a stream of numbers in [0, 1) of its own, which depends on the key and the row's number alone.

    Philox (Salmon et al. 2011) with the row in the second word of its counter: streams of 2^64 blocks that never meet.
    """

    def __init__(self, key: int) -> None:
        self._bits = np.random.Philox(key=key)
        self._generator = np.random.Generator(self._bits)
        # A state is put in place four times as fast as a generator is made.
        self._state: Any = self._bits.state
        self._counter = self._state["state"]["counter"]

    def first(self, row: int, count: int) -> np.ndarray:
        """The first `count` numbers of a row's stream; fewer of them are its beginning."""
        self._counter[1] = row
        self._bits.state = self._state
        return self._generator.random(count)
