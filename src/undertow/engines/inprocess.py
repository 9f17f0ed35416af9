"""The engine that works in this process, one task after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from undertow.engines.engine import R, T


@dataclass(frozen=True, slots=True)
class InProcess:
    """One task after the other, in order."""

    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """(index, result) in the order of the tasks."""
        for index, task in enumerate(tasks):
            yield index, worker(task)
