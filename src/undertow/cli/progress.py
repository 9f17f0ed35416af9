"""
Progress on stderr: live bars with the time left in a terminal, now and then a plain line elsewhere.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from undertow.cli.printable import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from undertow.engines.engine import Progress

SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """
    Progress for what stderr is: a terminal or not; it ends with the block, however the block ends.
    """
    progress: Progress
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from rich.console import Console

        progress = LiveProgress(Console(stderr=True))
    else:
        progress = PlainProgress(lambda line: click.echo(line, err=True))
    try:
        yield progress
    finally:
        progress.finish()


class LiveProgress:
    """One bar a stage, with the time left; colours follow NO_COLOR."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None
        self._task: TaskID | None = None

    def stage(self, name: str, total: int) -> None:
        """Begin a bar; the bars of earlier stages stay above it."""
        if self._bars is None:
            self._bars = _bars(self._console)
            self._bars.start()
        self._end_stage()
        self._task = self._bars.add_task(one_line(name), total=total, note="")

    def advance(self, n: int = 1, note: str = "") -> None:
        """Move the bar, and show the remark beside it."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, advance=n, note=one_line(note))

    def finish(self) -> None:
        """Leave the bars as they stand and give the terminal back."""
        self._end_stage()
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = None

    def _end_stage(self) -> None:
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, note="")
            self._bars.stop_task(self._task)


def _bars(console: Console) -> Bars:
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


class PlainProgress:
    """A line when a stage begins, and one at most every 30 seconds while it lasts."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._name = ""
        self._done = self._total = 0
        self._began = self._last_line = clock()

    def stage(self, name: str, total: int) -> None:
        """Begin a stage, with a line."""
        self._name, self._done, self._total = one_line(name), 0, total
        self._began = self._last_line = self._clock()
        self._write(f"{self._name} ({total})" if total else self._name)

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count on, with a line if the last one was long ago."""
        self._done += n
        now = self._clock()
        if now - self._last_line < SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        left = (now - self._began) / max(self._done, 1) * max(self._total - self._done, 0)
        remark = f"; {one_line(note)}" if note else ""
        self._write(f"{self._name}: {self._done}/{self._total}, {duration(left)} left{remark}")

    def finish(self) -> None:
        """Say nothing: the result follows."""


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
