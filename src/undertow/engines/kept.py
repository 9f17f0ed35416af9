"""Work that is kept task by task: what was interrupted goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from undertow.data.writing import atomic_write
from undertow.engines.engine import Engine, R, T
from undertow.errors import InputError

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def kept_files(directory: Path, tasks: int) -> list[Path]:
    """Where each task's result is kept."""
    return [directory / f"{index:04d}.json" for index in range(tasks)]


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
    files = kept_files(directory, len(tasks))
    missing = [index for index, file in enumerate(files) if not file.is_file()]
    done = len(tasks) - len(missing)
    for index, result in engine.map(worker, [tasks[i] for i in missing]):
        atomic_write(files[missing[index]], stored.dump_json(result).decode() + "\n")
        done += 1
        progress(done, len(tasks))
    return [read_kept(file, stored) for file in files]


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
