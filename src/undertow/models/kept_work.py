"""
Work that a job keeps as it is done: answers as they are drawn, and what is computed in parts.

What a job is asked for, it asks only once: an answer is in the log of its job before the next one is looked at, and a job
that was killed draws those alone that are missing. The log goes with the job's end.
"""

from __future__ import annotations

import fcntl
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

from undertow import __version__
from undertow.data.files import is_at
from undertow.data.line_log import LineLog
from undertow.engines.work_progress import counted, notice
from undertow.models.sampling import Draw, SampledAnswer

WORK = "work.log"
"""The log, in the folder of what is unfinished."""

PART = 128
"""Items that are computed and kept together."""

T = TypeVar("T")

Seen = Callable[[int, SampledAnswer], str]
"""Is shown each answer as it comes, those from before too; what it says goes with the progress."""


def unseen(number: int, answer: SampledAnswer) -> str:
    """Nothing to be said of an answer."""
    return ""


class KeptWork(AbstractContextManager["KeptWork"]):
    """What a job has kept; nothing is, without a folder."""

    def __init__(self, folder: Path | None, subject: str) -> None:
        """
        Read what the job of this subject kept in the folder, and go on with it.

        Raises:
            OSError: no space is left, or the place cannot be written to.
        """
        # Another version may draw other answers from the same seed.
        about = f"{__version__} {subject}"
        self._log = None if folder is None else LineLog(folder / WORK, about, notice)
        self._calls = itertools.count()
        self._known: dict[str, dict[int, Any]] = {}
        for name, number, value in self._log.entries if self._log else ():
            self._known.setdefault(name, {})[number] = value

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the log; it stays until the job is finished."""
        if self._log is not None:
            self._log.close()

    def answers(
        self, name: str, count: int, draw: Draw, seen: Seen = unseen
    ) -> list[SampledAnswer]:
        """The answers 0 to `count` - 1 of a name, in their order: those from before, and the others as they are drawn."""
        known = self._known.get(name, {})
        answers = {number: SampledAnswer(**value) for number, value in known.items()}
        remark = ""
        for number in sorted(answers):
            remark = seen(number, answers[number])
        missing = [number for number in range(count) if number not in answers]
        with counted("sampling", count, "answers", done=len(answers)) as work:
            work.advance(0, remark=remark)
            # Asked for even if nothing is missing: the stream of random numbers goes on alike.
            for number, answer in draw(missing):
                answers[number] = answer
                self._keep(name, number, asdict(answer))
                work.advance(remark=seen(number, answer))
        return [answers[number] for number in range(count)]

    def gathered(self, count: int, draw: Draw) -> list[SampledAnswer]:
        """The answers of the next of several calls, which a job makes in the same order each time."""
        return self.answers(f"call {next(self._calls)}", count, draw)

    def parts(
        self,
        name: str,
        items: Sequence[T],
        compute: Callable[[Sequence[T]], Sequence[Any]],
        *,
        doing: str,
        unit: str,
        size: int = PART,
    ) -> list[Any]:
        """What is computed of each item, in JSON's words: in parts of `size` items, of which each is kept."""
        known, values = self._known.get(name, {}), list[Any]()
        with counted(doing, len(items), unit, done=size * len(known)) as work:
            for start in range(0, len(items), size):
                part = known.get(start)
                if part is None:
                    part = list(compute(items[start : start + size]))
                    self._keep(name, start, part)
                    work.advance(len(part))
                values += part
        return values

    def _keep(self, name: str, number: int, value: Any) -> None:
        if self._log is not None:
            self._log.append([name, number, value])


NOTHING_KEPT = KeptWork(None, "")
"""For whoever has no job to go on with."""


FORGOTTEN_AFTER = 7 * 24 * 3600.0
"""Seconds after which what was left unfinished in a cache is removed."""

_TURNS = 100
"""Tries for a folder that others take away meanwhile."""


@contextmanager
def unfinished_in(cache: Path | None, name: str) -> Iterator[Path | None]:
    """
    A folder in the cache for work of a name, removed when the block ends without an exception; the last one that goes
    leaves nothing behind.

    None where nothing is kept, and where another process is doing the same work. What nobody came back to in a week is
    removed.
    """
    if cache is None:
        yield None
        return
    folder = cache / "unfinished" / name
    _forget_old(folder.parent)
    lock = _turn_in(folder)
    if lock is None:
        yield None
        return
    with lock:
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # others work here
            folder.parent.rmdir()


def _turn_in(folder: Path) -> BinaryIO | None:
    """
    The lock of a folder that is there; None where another process holds it.

    Whoever finishes takes the folder along, with its lock and perhaps the one above, while others are on their way in: they
    begin again.
    """
    for again in reversed(range(_TURNS)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / ".lock").open("wb")
        except FileNotFoundError:
            if not again:
                raise
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return None
        if is_at(lock, folder / ".lock"):
            return lock
        lock.close()
    return None


def _forget_old(cache: Path) -> None:
    folders: list[Path] = []
    with suppress(FileNotFoundError, NotADirectoryError):  # the last one that goes takes it along
        folders.extend(cache.iterdir())
    for folder in folders:
        newest = 0.0
        with suppress(OSError):
            newest = max((path.stat().st_mtime for path in folder.iterdir()), default=0.0)
        if newest and time.time() - newest > FORGOTTEN_AFTER:
            # Whoever holds it is at work, whatever a clock that was set anew makes of its age.
            with suppress(OSError), (folder / ".lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def kept_work(folder: Path, digest: str, name: str) -> KeptWork:
    """What the job of a name in an experiment of that digest keeps in the folder."""
    return KeptWork(folder, f"{digest} {name}")
