"""Tasks of a bench whose results are kept as they are made, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from undertow.data.files import atomic_write
from undertow.data.finished import Finished
from undertow.engines.engine import Engine
from undertow.errors import InputError

T = TypeVar("T")
R = TypeVar("R")


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
    missing = [index for index, file in enumerate(files) if not file.is_file()]
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


def commit_kept(target: Path, files: Sequence[Path]) -> None:
    """Write all kept results into one file that is committed beside the figures: a line each, with its name."""
    lines = [
        json.dumps({"name": file.stem, "result": json.loads(file.read_bytes())})
        for file in files
        if file.is_file()
    ]
    atomic_write(target, "".join(f"{line}\n" for line in lines))


def unpack_kept(source: Path, directory: Path) -> None:
    """Lay the committed results out where `map_kept` looks for them; what lies there already stays."""
    if not source.is_file():
        return
    directory.mkdir(parents=True, exist_ok=True)
    for line in source.read_text(encoding="utf-8").splitlines():
        kept = json.loads(line)
        file = directory / f"{kept['name']}.json"
        if not file.is_file():
            atomic_write(file, json.dumps(kept["result"]))
