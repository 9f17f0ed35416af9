"""
What one call of the command line remembers, and what the user is told at its end: exit codes and failures.
"""

from __future__ import annotations

import errno
import shlex
import sys
import traceback
from dataclasses import dataclass

import click

from undertow.cli.terminal import lines, one_line
from undertow.errors import MissingExtraError, UndertowError


@dataclass
class Session:
    """State shared between the verbs and `main`, which needs it when something goes wrong."""

    verbosity: int = 0
    """How often `-v` was given: 1 logs what happens, 2 logs everything and shows tracebacks."""

    resumable: bool = False
    """Whether typing the same command again goes on with the work at hand."""


EXIT_CODES = {
    0: "all clear",
    1: "flagged at `--fail-on` or above",
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
