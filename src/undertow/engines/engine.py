"""What an engine does: apply one callable to many tasks and give each result as it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """A way to spread work."""

    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """
        (index of the task, result) for every task, in the order in which they finish.

        The worker is a picklable instance of a class with `__call__`. The first task that raises
        stops the others, and its exception is raised here. Leaving the iterator stops them too.
        """


def single_thread() -> dict[str, str]:
    """
    Environment variables under which a process computes with one thread.

    Two processes of two threads each on two cores are many times slower than one of each.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, "1") | {"TOKENIZERS_PARALLELISM": "false"}
