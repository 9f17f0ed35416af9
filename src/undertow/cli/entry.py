"""`main`: runs a verb and turns whatever happens into an exit code."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sys
from collections.abc import Sequence

import click

from undertow.cli.failure import Failure, describe
from undertow.cli.session import Session
from undertow.cli.verbs import undertow


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line and return its exit code; nothing below this function catches or exits.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    session = Session(verbosity=2 if os.environ.get("UNDERTOW_DEBUG") else 0)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character gets its escape, not a crash after the work.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _invoke(given, session)
        # A reader that went away is noticed here at the latest, not in the interpreter's exit.
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        failure = describe(error, session, shlex.join(["undertow", *given]))
        _tell(failure)
        return failure.exit_code
    return code


def _invoke(arguments: list[str], session: Session) -> int:
    # Command.main() would print, exit and swallow broken pipes by its own rules.
    try:
        with undertow.make_context("undertow", arguments, obj=session) as context:
            undertow.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


def _tell(failure: Failure) -> None:
    # Either stream may be the one that broke.
    with contextlib.suppress(BrokenPipeError):
        if text := failure.text():
            click.echo(text, err=True)
    try:
        sys.stdout.flush()
    except OSError:
        _discard_stdout()


def _discard_stdout() -> None:
    # What could not be written would be tried again, and complained about, when the interpreter exits.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
