"""
A uniform sample of a stream of unknown length, in memory that does not grow with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass
class Reservoir(Generic[T]):
    """
    At most `size` items, each set of that size equally likely (Algorithm L, Li 1994): random numbers are drawn for the
    items that are taken, not for those that are passed over.
    """

    size: int
    generator: np.random.Generator
    seen: int = 0
    items: list[T] = field(default_factory=list)
    _weight: float = 1.0
    _next: int = 0

    def offer(self, item: T) -> None:
        """
        Take or pass over the stream's next item.
        """
        self.seen += 1
        if len(self.items) < self.size:
            self.items.append(item)
            if len(self.items) == self.size:
                self._skip()
        elif self.seen == self._next:
            self.items[int(self.generator.integers(self.size))] = item
            self._skip()

    def _skip(self) -> None:
        self._weight *= math.exp(math.log(1 - self.generator.random()) / self.size)
        gap = math.log(1 - self.generator.random()) / math.log1p(-self._weight)
        self._next = self.seen + 1 + math.floor(gap)
