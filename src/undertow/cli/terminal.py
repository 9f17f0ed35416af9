"""
What is shown in a terminal: text that is safe for it, aligned columns, and progress on stderr.

What rows and file names hold must not move the cursor or change the title. Progress is live bars with the time left in
a terminal, and now and then a plain line elsewhere.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from undertow.errors import MissingExtraError, UndertowError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from undertow.engines.engine import Progress


def one_line(text: str) -> str:
    r"""
    The text with every character that is not printable, line breaks included, as its escape.

    Spaces of every width and those that forbid a line break become ordinary ones.

    >>> one_line("owl\x1b[2J\n")
    'owl\\x1b[2J\\n'
    """
    return "".join(map(_shown, text))


def lines(text: str) -> str:
    r"""
    The same for a text of several lines, whose line breaks stay.

    >>> lines("a\x07\nb")
    'a\\x07\nb'
    """
    return "\n".join(one_line(line) for line in text.split("\n"))


def _shown(character: str) -> str:
    # Direction overrides and zero-width characters are not printable either, which is wanted.
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """
    The rows with every column but the last padded to its widest cell.

    >>> print(aligned([("owl", "animal"), ("penguin", "animal")]))
    owl      animal
    penguin  animal
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


SECONDS_BETWEEN_LINES = 30.0


def tell_step(doing: str) -> None:
    """Say on stderr what is being done now."""
    click.echo(f"… {one_line(doing)}", err=True)


def tell_notes(*datasets: str | None) -> None:
    """
    Say on stderr of datasets that were named which shards are read, and what lies beside them and is passed over.

    Raises:
        DataError: one is not there, or is none.
    """
    from undertow.data.dataset import NoRowsError, open_dataset

    for reference in datasets:
        # A statement may be about files without rows.
        with suppress(NoRowsError):
            for note in open_dataset(reference).notes if reference else ():
                click.echo(f"note: {one_line(note)}", err=True)


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


@dataclass
class Session:
    """State shared between the verbs and `main`, which needs it when something goes wrong."""

    verbosity: int = 0
    """How often `-v` was given: 1 logs what happens, 2 logs everything and shows tracebacks."""

    resumable: bool = False
    """Whether typing the same command again goes on with the work at hand."""


EXIT_CODES = {
    0: "clear, or within",
    1: "flagged or stands out, at `--fail-on` or above",
    2: "usage or invalid input",
    3: "nothing audited: no row left, or no check could be made",
    4: "could not finish",
    5: "undecided or skipped",
    130: "interrupted (Ctrl-C)",
    141: "the reader of the output went away",
}
"""Meaning by code; where several apply, the precedence is 2 > 3 > 1 > 4 > 5."""

USAGE = 2
UNFINISHED = 4
INTERRUPTED = 130
BROKEN_PIPE = 141

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_EXTRAS = {
    "torch": "models",
    "transformers": "models",
    "tokenizers": "models",
    "safetensors": "models",
    "accelerate": "models",
    "peft": "models",
    "sklearn": "lab",
    "ray": "ray",
    "securesystemslib": "provenance",
    "cryptography": "provenance",
    "yaml": "provenance",
    "cel_expr_python": "cel",
}


def typed_line() -> str:
    """The command line of this call, as it reproduces a result."""
    return shlex.join(["undertow", *sys.argv[1:]])


@dataclass(frozen=True)
class Failure:
    """The end of a command that did not succeed."""

    exit_code: int

    message: str = ""
    """One line, without its `error: `; empty where nothing is said."""

    hint: str = ""
    """The next command to type."""

    details: str = ""
    """A traceback, where it was asked for."""

    def text(self) -> str:
        """What goes to stderr, safe for a terminal."""
        shown = [lines(self.details.rstrip())] if self.details else []
        if self.message:
            shown.append(f"error: {one_line(self.message)}")
        if self.hint:
            shown.append(f"  = help: {one_line(self.hint)}")
        return "\n".join(shown)


def describe(error: BaseException, session: Session, command: str) -> Failure:
    """
    The failure for an exception that ended `command` (the line that the user typed).

    Whatever is neither an `UndertowError`, a fault in usage, the system's refusal nor an interruption is a
    bug of undertow; only bugs and refusals have a traceback, and only with `-vv`.
    """
    if isinstance(error, KeyboardInterrupt | click.Abort):
        if not session.resumable:
            return Failure(INTERRUPTED, "interrupted")
        return Failure(INTERRUPTED, "interrupted; finished work is kept", f"to go on: {command}")
    if isinstance(error, BrokenPipeError):
        return Failure(BROKEN_PIPE)
    details = "".join(traceback.format_exception(error)) if session.verbosity >= 2 else ""
    if full := _full_disk(error):
        where = f", writing '{full.filename}'" if full.filename else ""
        kept = " (finished work is kept)" if session.resumable else ""
        hint = f"free some space, then: {command}{kept}"
        return Failure(UNFINISHED, f"no space left on the device{where}", hint, details)
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        # Heavy libraries are imported late and everywhere, so their absence is translated here, once.
        error = MissingExtraError(error.name, _EXTRAS[error.name], purpose=f"'{command}'")
    if isinstance(error, UndertowError):
        return Failure(error.exit_code, error.message, error.hint, details)
    if isinstance(error, click.ClickException):
        return Failure(USAGE, error.format_message(), _help_of(error))
    see = f"traceback: UNDERTOW_DEBUG=1 {command}"
    if isinstance(error, OSError) and error.filename:
        return Failure(UNFINISHED, f"{error.strerror}: '{error.filename}'", see, details)
    what = f"unexpected {type(error).__name__}: {error} (a bug in undertow)"
    return Failure(UNFINISHED, what, "" if details else see, details)


def _full_disk(error: BaseException | None) -> OSError | None:
    # A full disk often arrives wrapped in the error of the library that was writing.
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return error
        error = error.__cause__ or error.__context__
    return None


def _help_of(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{context.command_path if context else 'undertow'} --help"
