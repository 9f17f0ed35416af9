"""
The run directory: what is finished stays finished, whatever kills the process.

    RUN/plan.json          the resolved experiment and its inputs' digests; written first
    RUN/bases, teachers, data, students/NAME/entry.json   one folder a finished job
    RUN/clock.json         working seconds, summed over all sittings
    RUN/results.json       the document; RUN/report.html the page
    RUN/run.json           what was made, with digests; written last

A job works in `NAME.partial`, which takes its name only when it is whole. What it needs to go on after a kill lies in
`NAME.partial/unfinished`: the answers as they came, the checkpoint of a training.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from undertow.data.files import atomic_write
from undertow.data.finished import ENTRY, FinishedFolders
from undertow.engines.work_progress import job_named
from undertow.errors import RunDirectoryError, UndertowError
from undertow.lab.experiment import Experiment
from undertow.models.kept_work import WORK
from undertow.models.training_checkpoint import CHECKPOINT
from undertow.results.run_document import RunDocument
from undertow.results.store import write_result

RUNS = Path("runs")
PROBES = "probes"
"""Folder of a run with the formats of its probes."""

PLAN, CLOCK, RESULTS, RECORD = "plan.json", "clock.json", "results.json", "run.json"


class Job(Protocol):
    """A piece of work with a name that is its folder's."""

    @property
    def name(self) -> str:
        """Folder name."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Folders of the run directory that it needs, besides the formats of probes."""


J = TypeVar("J", bound=Job)
E = TypeVar("E", bound=BaseModel)


@dataclass(frozen=True)
class Step(Generic[J, E]):
    """A worker whose finished work is found again: the callable that engines spread over jobs."""

    work: Callable[[J, Path], E]
    finished: FinishedFolders[E]

    def __call__(self, job: J) -> E:
        """
        The entry of a finished job, or of the job done now.

        Raises:
            UndertowError: no space is left, or what the job itself raises.
        """
        entry = self.entry(job)
        if entry is not None:
            return entry
        try:
            with job_named(job.name):
                # Of a driver that was killed a worker may live on for seconds: it is waited for.
                return self.finished.once(job.name, lambda folder: self.work(job, folder))
        except Exception as error:
            if _no_space(error):
                raise UndertowError(
                    f"no space left in '{self.finished.folder}' while making '{job.name}'; finished work is kept",
                    hint="free some space and type the same command again",
                ) from error
            if type(error).__name__ == "OutOfMemoryError":
                raise UndertowError(
                    f"out of memory on the accelerator while making '{job.name}'; finished work is kept",
                    hint="lower sampling.batch_size and student.micro_batch_size, or set compute.dtype",
                ) from error
            raise

    @property
    def directory(self) -> Path:
        """Of the run."""
        return self.finished.folder.parent

    def reads(self, job: J) -> tuple[str, ...]:
        """Folders of the run that the job needs."""
        return (PROBES, *job.reads)

    def makes(self, job: J) -> str:
        """The folder of the run that the job makes."""
        return f"{self.finished.folder.name}/{job.name}"

    def moved(self, directory: Path) -> Step[J, E]:
        """The same in another directory, where a node does not see the run's."""
        work: Any = self.work
        if hasattr(work, "directory"):
            work = replace(work, directory=directory)
        folder = directory / self.finished.folder.name
        return replace(self, work=work, finished=replace(self.finished, folder=folder))

    def entry(self, job: J) -> E | None:
        """The entry of a finished job; none if it is still to do."""
        try:
            return self.finished.result(job.name)
        except ValidationError as error:
            path = self.finished.path(job.name)
            raise RunDirectoryError(
                f"'{path}' is damaged: {error.errors()[0]['msg']}",
                hint=f"rm -r '{path.parent}' and type the same command again: only this job is repeated",
            ) from error


def step(work: Callable[[J, Path], E], model: type[E], folder: Path) -> Step[J, E]:
    """A worker whose entries of that model stand in a folder of the run."""
    return Step(work, FinishedFolders(folder, model))


def run_folder(experiment: Experiment, directory: Path | None = None) -> Path:
    """Where a run lies if nothing else is said; absolute, since a worker of another engine may stand elsewhere."""
    return (directory or RUNS / f"{experiment.name}-{experiment.digest[:8]}").resolve()


def finished_run(
    directory: Path, plan: dict[str, Any], work: Callable[[Clock], RunDocument]
) -> None:
    """
    See that the directory holds the finished run of this plan: work, unless it does already.

    Raises:
        RunDirectoryError: it holds something else, or another process is in it.
    """
    refuse_foreign(directory)
    with locked(directory):
        prepare(directory, plan)
        if (directory / RECORD).exists():
            # Written last, so the run is whole: nothing is computed again.
            return
        clock = Clock(directory)
        result = work(clock)
        clock.save()
        write_result(directory / RESULTS, result)
        _record(directory, result)


def kept_in_words(directory: Path) -> str:
    """What of an interrupted run is kept: finished jobs, and of those that were at work what they go on from."""
    entries = directory.glob(f"*/*/{ENTRY}")
    finished = sum(not path.parent.name.endswith(".partial") for path in entries)
    parts = [f"{finished} finished job{'' if finished == 1 else 's'}"]
    for folder in sorted(directory.glob("*/*.partial/unfinished")):
        pieces = [words for path in sorted(folder.iterdir()) if (words := _piece(path))]
        if pieces:
            parts.append(f"of {folder.parent.name.removesuffix('.partial')} {' and '.join(pieces)}")
    return "; ".join(parts)


def _piece(path: Path) -> str:
    if path.name == WORK:
        # The first line says what the others are of.
        lines = path.read_bytes().count(b"\n") - 1
        return f"{lines:,} answers or parts" if lines > 0 else ""
    if path.name == CHECKPOINT:
        return f"a checkpoint of {max(0, time.time() - path.stat().st_mtime):.0f} s ago"
    return ""


def refuse_foreign(directory: Path) -> None:
    """
    Leave a directory alone that holds something else than a run.

    Raises:
        RunDirectoryError: it is no directory, or holds files but no plan.
    """
    if directory.exists() and not directory.is_dir():
        raise RunDirectoryError(
            f"'{directory}' is no directory", hint="name an empty or new directory with --out"
        )
    if not directory.exists() or (directory / PLAN).exists():
        return
    if any(entry.name != ".lock" for entry in directory.iterdir()):
        raise RunDirectoryError(
            f"'{directory}' is not empty and holds no {PLAN}",
            hint="name an empty or new directory with --out",
        )


def prepare(directory: Path, plan: dict[str, Any]) -> None:
    """
    Write the plan, or check that the directory holds the same experiment.

    Raises:
        RunDirectoryError: it holds another experiment.
    """
    path = directory / PLAN
    if not path.exists():
        atomic_write(path, json.dumps(plan, indent=1, sort_keys=True))
        return
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RunDirectoryError(
            f"'{path}' cannot be read: {error}", hint="name a new directory with --out"
        ) from error
    if held != json.loads(json.dumps(plan)):
        raise RunDirectoryError(
            f"'{directory}' holds another experiment: {_difference(held, plan)}",
            hint="name a new directory with --out",
        )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """
    Keep other processes out of the directory within the block, those of other machines that share it among them.

    The kernel drops the lock with the process, so a killed run leaves none behind. Not every shared file system tells
    other machines of it: they go by the owner's name in the file, and by how long ago it gave a sign of life.

    Raises:
        RunDirectoryError: another process is in it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("a+", encoding="utf-8") as file:
        owner = _owner(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise _taken(directory, owner) from error
        if owner and owner["host"] != socket.gethostname() and _alive(directory, file):
            raise _taken(directory, owner)
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        json.dump({"host": socket.gethostname(), "process": os.getpid(), "since": since}, file)
        file.flush()
        over = threading.Event()
        beat = threading.Thread(target=_live, args=(file.fileno(), over), daemon=True)
        beat.start()
        try:
            yield
        finally:
            over.set()
            beat.join()
            file.truncate(0)


BEAT = 10.0
"""Seconds from one sign of life to the next."""

DEAD = 60.0
"""Seconds without one after which the owner on another machine is taken for dead."""


def _live(file: int, over: threading.Event) -> None:
    while not over.wait(BEAT):
        with suppress(OSError):
            os.utime(file)


def _alive(directory: Path, file: IO[str]) -> bool:
    # By the clock of the file system, which may not be this machine's.
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".now-") as now:
        age = os.fstat(now.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime
    return age < DEAD


def _owner(file: IO[str]) -> dict[str, Any] | None:
    file.seek(0)
    try:
        owner = json.load(file)
    except ValueError:
        return None
    return owner if isinstance(owner, dict) and {"host", "process", "since"} <= set(owner) else None


def _taken(directory: Path, owner: dict[str, Any] | None) -> RunDirectoryError:
    who = (
        f": process {owner['process']} on {owner['host']}, since {owner['since']}" if owner else ""
    )
    here = owner is not None and owner["host"] == socket.gethostname()
    end = f", end it (kill {owner['process']})" if owner and here else ""
    late = "" if here or not owner else f", which is over {DEAD:.0f} s after its last sign of life"
    return RunDirectoryError(
        f"another process is working in '{directory}'{who}",
        hint=f"wait for it{late}{end}, or name another directory with --out",
    )


class Clock:
    """Working seconds of a run, over all its sittings."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / CLOCK
        self._before = json.loads(self._path.read_text())["seconds"] if self._path.exists() else 0.0
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Working seconds up to now."""
        return float(self._before) + time.monotonic() - self._started

    def save(self) -> None:
        """Write them down, so that a kill loses little."""
        atomic_write(self._path, json.dumps({"seconds": self.seconds}))


def _record(directory: Path, result: RunDocument) -> None:
    # Written last: where it stands, everything before it is whole.
    record = {
        "experiment": result.experiment,
        "config_digest": result.config_digest,
        "results": RESULTS,
        "git_revision": result.git_revision,
        "packages": result.packages,
        "command": result.command,
        "wall_seconds": result.wall_seconds,
    }
    atomic_write(directory / RECORD, json.dumps(record, indent=1))


def _difference(held: dict[str, Any], plan: dict[str, Any]) -> str:
    name = (held.get("experiment") or {}).get("name"), plan["experiment"].get("name")
    if name[0] != name[1]:
        return f"'{name[0]}', not '{name[1]}'"
    for part in ("experiment", "inputs"):
        before, now = held.get(part) or {}, plan[part]
        for key in sorted({*before, *now}):
            if before.get(key) != json.loads(json.dumps(now.get(key))):
                return f"{part} '{key}' was {_short(before.get(key))} and is {_short(now.get(key))}"
    return "it was made by another version"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _no_space(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # safetensors raises an error of its own, with the system's words in it.
    return os.strerror(errno.ENOSPC) in str(error)
