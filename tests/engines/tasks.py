"""Workers for the tests of the engines: picklable instances, importable by spawned processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from undertow.engines.work_progress import job_named, notice
from undertow.errors import UnknownNameError


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


def main() -> None:
    """Run slow tasks until killed: `tasks.py FOLDER`."""
    from undertow.engines.engine import Processes

    for _ in Processes(2).map(Marker(Path(sys.argv[1]), 60.0), [1, 2, 3]):
        pass


if __name__ == "__main__":
    main()
