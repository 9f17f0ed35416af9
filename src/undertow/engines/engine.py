"""What an engine does: apply one callable to many tasks, in this process or in others, and keep what is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from undertow.data.finished import Finished
from undertow.errors import InputError

if TYPE_CHECKING:
    from pydantic import TypeAdapter


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


@dataclass(frozen=True, slots=True)
class InProcess:
    """One task after the other, in order."""

    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """(index, result) in the order of the tasks."""
        for index, task in enumerate(tasks):
            yield index, worker(task)


class Progress(Protocol):
    """A listener for stages of counted work; all methods are called from one thread."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of `total` units of work; it ends the stage before it."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """
        Report `n` more finished units of the current stage, with a remark on what is going on.
        """

    def finish(self) -> None:
        """End the last stage; harmless when called again or before any stage."""


class SilentProgress:
    """A listener that says nothing, for libraries and tests."""

    def stage(self, name: str, total: int) -> None:
        """Ignore the stage."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Ignore the step."""

    def finish(self) -> None:
        """Ignore the end."""


def map_kept(
    worker: Callable[[T], R],
    tasks: Sequence[T],
    directory: Path,
    engine: Engine,
    stored: TypeAdapter[R],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[R]:
    """
    Every task's result, in the order of the tasks; those whose file is there are not worked on again.

    A file is named for its task's place, so that a directory belongs to one list of tasks, which may grow at its end.

    Raises:
        InputError: a kept file is not what a task leaves.
    """
    directory.mkdir(parents=True, exist_ok=True)
    finished = Finished(directory, stored)
    files = kept_files(directory, len(tasks))
    missing = [index for index, file in enumerate(files) if not finished.has(file.stem)]
    done = len(tasks) - len(missing)
    for index, result in engine.map(worker, [tasks[i] for i in missing]):
        finished.keep(files[missing[index]].stem, result)
        done += 1
        progress(done, len(tasks))
    return [read_kept(file, stored) for file in files]


def kept_files(directory: Path, tasks: int) -> list[Path]:
    """Where each task's result is kept."""
    return [directory / f"{index:04d}.json" for index in range(tasks)]


def read_kept(file: Path, stored: TypeAdapter[R]) -> R:
    """
    A finished task's result.

    Raises:
        InputError: the file is not what a task leaves.
    """
    try:
        return stored.validate_json(file.read_bytes())
    except ValueError as error:
        raise InputError(
            f"'{file}' is not the result of a finished task: {str(error).splitlines()[0]}",
            hint="remove it, and run the same command again",
        ) from error
