"""Workers for the tests of the engines: picklable instances, importable by spawned processes."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from undertow.engines.work_progress import job_named, notice
from undertow.errors import ModelError, UnknownNameError


class Telling:
    """Tells that it is at work on its task."""

    def __call__(self, name: str) -> str:
        with job_named(name):
            notice("at work")
        return name


@dataclass(frozen=True)
class Power:
    """Raises a number to a fixed power."""

    exponent: int

    def __call__(self, number: int) -> int:
        """The power."""
        return number**self.exponent


@dataclass(frozen=True)
class Marker:
    """Fails on task 0; writes a file for every other task after a pause."""

    folder: Path
    pause: float = 0.0

    def __call__(self, number: int) -> int:
        """The number, once its file is there."""
        if number == 0:
            raise UnknownNameError("trait", "owll", ["owl", "cat"], hint="undertow traits")
        (self.folder / f"started-{number}-{os.getpid()}").touch()
        time.sleep(self.pause)
        (self.folder / f"finished-{number}").touch()
        return number


@dataclass(frozen=True)
class Sleeper:
    """Sleeps for as many seconds as its task says, but not for 1."""

    folder: Path

    def __call__(self, number: int) -> int:
        """The number, later."""
        (self.folder / f"started-{number}-{os.getpid()}").touch()
        time.sleep(0 if number == 1 else number)
        return number


class Unpackable:
    """Cannot be unpacked where a library is missing, as it is everywhere."""

    def __setstate__(self, state: object) -> None:
        import no_such_library  # type: ignore[import-not-found] # noqa: F401

    def __reduce__(self) -> tuple[Any, ...]:
        return Unpackable, (), {"some": "state"}

    def __call__(self, number: int) -> int:
        """Never reached."""
        return number


@dataclass(frozen=True)
class Environment:
    """Reads a variable of the environment in which the task runs."""

    def __call__(self, name: str) -> tuple[int, str | None]:
        """Process id and value."""
        return os.getpid(), os.environ.get(name)


@dataclass(frozen=True)
class TorchThreads:
    """Asks torch for its number of threads."""

    def __call__(self, number: int) -> int:
        """Threads of one operation."""
        import torch

        return torch.get_num_threads()


@dataclass(frozen=True)
class Doomed:
    """Kills its own process as the kernel does when memory runs out, or leaves it."""

    by_signal: bool

    def __call__(self, number: int) -> int:
        """Never returns."""
        if self.by_signal:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(3)


@dataclass(frozen=True)
class Deadly:
    """Writes down that task 0 began, and kills its own process; does the others."""

    folder: Path

    def __call__(self, number: int) -> int:
        """The number, if it is not 0."""
        if number == 0:
            with (self.folder / "started-0").open("a") as file:
                file.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return number


@dataclass(frozen=True)
class Held:
    """Waits on task N until a file `go-N` is there; says where and how often it began and ended."""

    folder: Path

    def __call__(self, number: int) -> int:
        """The number, once it may go."""
        started = self.folder / f"started-{number}"
        node = ray_node()
        with started.open("a") as file:
            file.write(f"{os.getpid()} {node}\n")
        while not (self.folder / f"go-{number}").exists():
            time.sleep(0.05)
        (self.folder / f"finished-{number}").touch()
        return number


class Counting:
    """Counts its calls in this very object."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, number: int) -> tuple[int, int]:
        """Process id, and the call's number."""
        self.calls += 1
        return os.getpid(), self.calls


@dataclass(frozen=True)
class InFolders:
    """Makes a folder out of the one before."""

    directory: Path

    def __call__(self, number: int) -> int:
        """Reads the folder of the number before and writes its own."""
        before = self.directory / self.reads(number)[0] / "value"
        made = self.directory / self.makes(number)
        made.mkdir(parents=True)
        (made / "value").write_text(str(number + int(before.read_text())))
        return number

    def reads(self, number: int) -> tuple[str, ...]:
        """The folder before, and one that nobody made."""
        return f"made/{number - 1}", "made/none"

    def makes(self, number: int) -> str:
        """Its own."""
        return f"made/{number}"

    def moved(self, directory: Path) -> InFolders:
        """Elsewhere."""
        return InFolders(directory)


class Unloadable:
    """Finds no model but on the driver's node, where it is at work until it is ended."""

    def __init__(self, node: str) -> None:
        self.node = node

    def __call__(self, number: int) -> int:
        """The number, much later."""
        if ray_node() != self.node:
            raise ModelError("unknown model './nowhere': no such folder", hint="undertow worlds")
        time.sleep(120)
        return number


class Full:
    """Meets a full disk."""

    def __call__(self, folder: str) -> str:
        """Never returns."""
        # What imports torch takes seconds in every process that imports this file.
        from undertow.lab.run_directory import step
        from undertow.results.measurement import ProbeChoice

        return step(_fill, ProbeChoice, Path(folder))(_Job("full")).format


class Large:
    """Has a result of so many bytes."""

    def __call__(self, size: int) -> bytes:
        """Nothing but zeros."""
        return bytes(size)


class Heavy:
    """Is a callable of so many bytes."""

    def __init__(self, size: int) -> None:
        self.content = bytes(size)

    def __call__(self, number: int) -> int:
        """The number."""
        return number


class FullDevice:
    """Is told by the system that a disk is full."""

    def __call__(self, number: int) -> int:
        """Never returns."""
        _fill(_Job(str(number)), Path())
        return number


@dataclass(frozen=True)
class _Job:
    name: str
    reads: tuple[str, ...] = ()


def _fill(job: _Job, folder: Path) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def ray_node() -> str:
    """The node that this runs on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def main() -> None:
    """Run slow tasks until killed: `tasks.py FOLDER`."""
    from undertow.engines.engine import Processes

    for _ in Processes(2).map(Marker(Path(sys.argv[1]), 60.0), [1, 2, 3]):
        pass


if __name__ == "__main__":
    main()
