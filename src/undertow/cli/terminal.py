"""
What is shown in a terminal: text that is safe for it, aligned columns, and how a command failed.

What rows and file names hold must not move the cursor or change the title. How far the work is, `progress` shows.
"""

from __future__ import annotations

import errno
import math
import os
import shlex
import signal
import sys
import threading
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

import click

from undertow.cli.usage_faults import fault_line, way_out, whole_help
from undertow.errors import MissingExtraError, UndertowError


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


@dataclass
class Session:
    """State shared between the verbs and `main`, which needs it when something goes wrong."""

    verbosity: int = 0
    """How often `-v` was given: 1 logs what happens, 2 logs everything and shows tracebacks."""

    quiet: bool = False
    """Whether nothing is said of how far the work is."""

    resumable: bool = False
    """Whether typing the same command again goes on with the work at hand."""

    kept: Callable[[], str] = lambda: "finished work"
    """What of the work at hand is kept when it is interrupted, in words."""


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
_FULL = "no space left"
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class Extra:
    """An optional part of the installation."""

    modules: tuple[str, ...]
    """What it installs, as Python imports it."""
    purpose: str
    """The verbs and options that need it."""


_MODELS = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft")

EXTRAS = {
    "models": Extra(
        (*_MODELS, "outlines_core"),
        "demo, run, scan, diff, lineage, clean, worlds fetch|build: whatever opens a model",
    ),
    "provenance": Extra(
        ("securesystemslib", "cryptography", "yaml"),
        "attest, verify, gate, --sign, files in YAML",
    ),
    "lab": Extra(("sklearn",), "the first two, run digits, and filters that classify"),
    "data": Extra(("datasets", "fsspec"), "rows from the hub (org/name) or a URL"),
    "preference": Extra(("trl", "datasets"), "training on preference pairs"),
    "gguf": Extra(("gguf",), "models in a GGUF file"),
    "quantise": Extra(("bitsandbytes",), "--quantise 4bit"),
    "ray": Extra(("ray",), "--engine ray"),
    "endpoint": Extra(("openai",), "--scored-by and teachers behind an API"),
    "inspect": Extra(("inspect_ai",), "diff of two Inspect logs"),
    "cel": Extra(("cel_expr_python",), "rules of a policy in CEL"),
    "datatrove": Extra(("datatrove",), "undertow as a step of datatrove's pipelines"),
    "mlflow": Extra(("mlflow",), "results as a run of MLflow"),
    "wandb": Extra(("wandb",), "results as a run of Weights & Biases"),
}
"""Every extra but those for work on undertow itself (`dev`, `docs`); the first that has a module is the one to install for it."""

_EXTRA_OF = {
    module: name for name, extra in reversed(EXTRAS.items()) for module in extra.modules
} | dict.fromkeys(_MODELS, "lab")
"""A verb that opens a model soon needs the rest of the lab too: one installation, not three."""

COMPLETING = "_UNDERTOW_COMPLETE"
"""Environment variable by which a shell asks how a line goes on."""


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
    """What stands above: a traceback where it was asked for, or the whole help of a verb."""

    def text(self) -> str:
        """What goes to stderr, safe for a terminal."""
        shown = [lines(self.details.rstrip())] if self.details else []
        if self.message:
            shown.append(f"error: {one_line(self.message)}")
        if self.hint:
            shown.append(f"  = help: {one_line(self.hint)}")
        return "\n".join(shown)


_ONE = 1.0
"""Seconds within which a second interrupt is the same one: `timeout` and `make` hand on what the terminal sent to all."""


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Within the block, an interrupt that comes twice at once is one, so that nothing is left half-way that ends by it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    last = -math.inf

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _ONE:
            last = now
            signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def describe(error: BaseException, session: Session, command: str) -> Failure:
    """
    The failure for an exception that ended `command` (the line that the user typed).

    Whatever is neither an `UndertowError`, a fault in usage, the system's refusal nor an interruption is a
    bug of undertow; only bugs and refusals have a traceback, and only with `-vv`.
    """
    if isinstance(error, KeyboardInterrupt | click.Abort):
        if not session.resumable:
            return Failure(INTERRUPTED, "interrupted")
        return Failure(INTERRUPTED, f"interrupted; kept: {session.kept()}", f"to go on: {command}")
    if isinstance(error, BrokenPipeError):
        return Failure(BROKEN_PIPE)
    details = "".join(traceback.format_exception(error)) if session.verbosity >= 2 else ""
    if full := _full_disk(error):
        message = f"{_FULL} on the device"
        if full.filename:
            message += f", writing '{full.filename}'"
        elif isinstance(error, UndertowError) and any(
            words in error.message for words in (_FULL, os.strerror(full.errno or errno.ENOSPC))
        ):
            # The system itself does not say where.
            message = error.message
        kept = " (finished work is kept)" if session.resumable else ""
        hint = f"free some space, then: {command}{kept}"
        return Failure(UNFINISHED, message, hint, details)
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRA_OF:
        # Heavy libraries are imported late and everywhere, so their absence is translated here, once.
        error = MissingExtraError(error.name, _EXTRA_OF[error.name], purpose=f"'{command}'")
    if isinstance(error, UndertowError):
        hint = error.hint or f"mend what is named, and type again: {command}"
        return Failure(error.exit_code, error.message, hint, details)
    if isinstance(error, click.ClickException):
        if shown := whole_help(error):
            return Failure(USAGE, details=shown)
        return Failure(USAGE, fault_line(error), way_out(error))
    see = f"traceback: UNDERTOW_DEBUG=1 {command}"
    if isinstance(error, OSError) and error.filename:
        hint = see
        if error.errno in _FORBIDDEN:
            hint = f"allow yourself what is refused there, or name another place (for temporary files: TMPDIR), then: {command}"
        return Failure(UNFINISHED, f"{error.strerror}: '{error.filename}'", hint, details)
    what = f"unexpected {type(error).__name__}: {error} (a bug in undertow)"
    return Failure(UNFINISHED, what, "" if details else see, details)


def _full_disk(error: BaseException | None) -> OSError | None:
    # A full disk often arrives wrapped in the error of the library that was writing.
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return error
        error = error.__cause__ or error.__context__
    return None
