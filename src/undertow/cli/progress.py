"""
How far the work is, on stderr: live bars in a terminal, and a plain line now and then elsewhere.

A verb's stages come by the methods of `Progress`, what goes on inside a job by `hear`: from this process or from another.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

import click

from undertow.cli.terminal import Session, one_line
from undertow.engines.engine import Progress, SilentProgress
from undertow.engines.work_progress import Announcement, Standing, Told, listening

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 10.0


class Screen(Progress, Protocol):
    """What shows stages, the work inside jobs, and lines between them."""

    def hear(self, told: Told) -> None:
        """Show how far a piece of work is; from any thread."""

    def say(self, line: str) -> None:
        """Write a line."""


_SCREEN: ContextVar[Callable[[], Screen] | None] = ContextVar("screen", default=None)


def tell_step(doing: str) -> None:
    """Say on stderr what is being done now."""
    _current().say(f"… {one_line(doing)}")


@contextmanager
def work_shown(session: Session) -> Iterator[None]:
    """Within the block, whatever is worked on shows how far it is, unless the session is quiet."""
    made: list[Screen] = []

    def screen() -> Screen:
        # Made when it is first needed: whether to be quiet is among the verb's own options.
        if not made:
            made.append(_screen(quiet=session.quiet))
        return made[0]

    before = _SCREEN.get()
    _SCREEN.set(screen)
    try:
        with listening(lambda told: screen().hear(told)):
            yield
    finally:
        _SCREEN.set(before)
        for shown in made:
            shown.finish()


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Progress for what stderr is: a terminal or not; its stages end with the block, however the block ends."""
    progress = _current()
    try:
        with listening(progress.hear):
            yield progress
    finally:
        progress.finish()


def _current() -> Screen:
    screen = _SCREEN.get()
    return screen() if screen else _screen(quiet=False)


def _screen(*, quiet: bool) -> Screen:
    if quiet:
        return QuietScreen()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from rich.console import Console

        return LiveProgress(Console(stderr=True))
    return PlainProgress(_to_stderr)


def _to_stderr(line: str) -> None:
    click.echo(line, err=True)


class QuietScreen(SilentProgress):
    """Nothing but what a reader should know."""

    def hear(self, told: Told) -> None:
        """Write notices alone."""
        if isinstance(told, Announcement):
            _to_stderr(_noted(told))

    def say(self, line: str) -> None:
        """Ignore the line."""


class LiveProgress:
    """One bar a stage with the time left, and below them one line a job; colours follow NO_COLOR."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._stages: Bars
        self._jobs: Bars
        self._stage: TaskID | None = None
        self._working: dict[str, TaskID] = {}

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Begin a bar; the bars of earlier stages stay above it."""
        with self._lock:
            self._start()
            self._end_stage()
            self._stage = self._stages.add_task(
                one_line(name), total=total, completed=done, note=""
            )

    def advance(self, n: int = 1, note: str = "") -> None:
        """Move the bar, and show the remark beside it."""
        with self._lock:
            if self._live is not None and self._stage is not None:
                self._stages.update(self._stage, advance=n, note=one_line(note))

    def hear(self, told: Told) -> None:
        """Move the line of a job; it goes when the job's work is over."""
        with self._lock:
            if isinstance(told, Announcement):
                self.say(_noted(told))
                return
            if told.over:
                self._forget(told.job)
                return
            self._start()
            if told.job not in self._working:
                self._working[told.job] = self._jobs.add_task("", note="")
            self._jobs.update(
                self._working[told.job],
                description=_name_of(told),
                total=told.total or None,
                completed=told.done,
                note=_words(told),
            )

    def say(self, line: str) -> None:
        """Write a line above the bars."""
        with self._lock:
            if self._live is None:
                _to_stderr(line)
            else:
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """Leave the bars of stages as they stand and give the terminal back."""
        with self._lock:
            self._end_stage()
            self._stage = None
            for job in list(self._working):
                self._forget(job)
            self._stop()

    def _start(self) -> None:
        if self._live is not None:
            return
        from rich.console import Group
        from rich.live import Live

        self._stages, self._jobs = _stage_bars(self._console), _job_bars(self._console)
        # stdout is the result's: it is not drawn into the bars, which are on stderr.
        self._live = Live(
            Group(self._stages, self._jobs), console=self._console, redirect_stdout=False
        )
        self._live.start()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
        self._live = None

    def _forget(self, job: str) -> None:
        task = self._working.pop(job, None)
        if task is not None:
            self._jobs.remove_task(task)
        if self._stage is None and not self._working:
            # A verb without stages writes its result next, and bars would be drawn into it.
            self._stop()

    def _end_stage(self) -> None:
        if self._live is not None and self._stage is not None:
            self._stages.update(self._stage, note="")
            self._stages.stop_task(self._stage)


def _stage_bars(console: Console) -> Bars:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    # Names and remarks are shown as they are: markup in them would be read as colours.
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
        console=console,
    )


def _job_bars(console: Console) -> Bars:
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
        console=console,
    )


class PlainProgress:
    """A line when a stage begins, and one at most every 10 seconds while there is work."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._lock = threading.RLock()
        self._name = ""
        self._done = self._before = self._total = 0
        self._remark = ""
        self._working: dict[str, Standing] = {}
        self._began = self._last_line = clock()

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Begin a stage, with a line."""
        with self._lock:
            self._name, self._total = one_line(name), total
            self._done = self._before = done
            self._remark = ""
            self._began = self._clock()
            self.say(
                f"{self._name} ({total}{f', {done} already done' if done else ''})".replace(
                    " (0)", ""
                )
            )

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count on, with a line if the last one was long ago."""
        with self._lock:
            self._done += n
            self._remark = one_line(note)
            self._line()

    def hear(self, told: Told) -> None:
        """Remember where a job is, with a line if the last one was long ago; a notice is written at once."""
        with self._lock:
            if isinstance(told, Announcement):
                self._write(_noted(told))
            elif told.over:
                self._working.pop(told.job, None)
            else:
                self._working[told.job] = told
                self._line()

    def say(self, line: str) -> None:
        """Write a line."""
        with self._lock:
            self._last_line = self._clock()
            self._write(line)

    def finish(self) -> None:
        """Say nothing: the result follows."""
        with self._lock:
            self._name = ""
            self._working.clear()

    def _line(self) -> None:
        now = self._clock()
        if now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        parts = [self._stage_words(now)] if self._name else []
        parts += [f"{_name_of(told)}: {_words(told)}" for told in self._working.values()]
        self.say(f"  {'; '.join(parts)}")

    def _stage_words(self, now: float) -> str:
        new = self._done - self._before
        left = (now - self._began) / max(new, 1) * max(self._total - self._done, 0)
        time_left = f", {duration(left)} left" if new else ""
        remark = f"; {self._remark}" if self._remark else ""
        return f"{self._name}: {self._done}/{self._total}{time_left}{remark}"


def _name_of(told: Standing) -> str:
    return one_line(f"{told.job}: {told.doing}" if told.job else told.doing)


def _words(told: Standing) -> str:
    of = f" of {told.total:,}" if told.total else ""
    left = "" if told.left is None else f"{duration(told.left)} left"
    parts = (f"{told.done:,}{of} {told.unit}", told.rate, told.remark, left)
    return one_line(", ".join(part for part in parts if part))


def _noted(told: Announcement) -> str:
    job = f"{told.job}: " if told.job else ""
    return f"note: {one_line(job + told.text)}"


def duration(seconds: float) -> str:
    """
    A rough length of time, for people.

    >>> duration(8), duration(100), duration(9000)
    ('8 s', '2 min', '2 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
