"""The command `undertow` with its verbs, each imported only when it is needed, and `main`, which runs one."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shlex
import sys
from collections.abc import Sequence

import click

from undertow import __version__
from undertow.cli.terminal import (
    COMPLETING,
    EXIT_CODES,
    Failure,
    Session,
    describe,
    interrupted_once,
)
from undertow.errors import UnknownNameError

VERBS = (
    "demo",
    "init",
    "doctor",
    "scan",
    "changed",
    "lineage",
    "diff",
    "clean",
    "attest",
    "verify",
    "gate",
    "run",
    "report",
    "review",
    "experiments",
    "traits",
    "worlds",
    "checks",
    "explain",
    "completion",
)
"""Every verb, in the order of the help; each is the `command` of the module of its name."""


class Verbs(click.Group):
    """A group whose commands are the modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in their order."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, which takes `-v` and `-q` like `undertow` itself does."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"undertow.cli.{cmd_name}").command
        if all("--verbose" not in parameter.opts for parameter in command.params):
            command.params += [_verbose(), _quiet()]
        if ctx.resilient_parsing:
            from undertow.cli.completion import with_values

            with_values(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """
        The verb that the first argument names.

        Raises:
            UnknownNameError: if there is no such verb.
        """
        # Half a verb is what a shell completes.
        if args[0] not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise UnknownNameError("verb", args[0], VERBS, hint="undertow --help")
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The exit codes, below the verbs."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


def _verbose() -> click.Option:
    return click.Option(
        ["-v", "--verbose"],
        count=True,
        expose_value=False,
        callback=_raise_verbosity,
        help="Log what happens; -vv logs everything and shows tracebacks.",
    )


def _quiet() -> click.Option:
    return click.Option(
        ["-q", "--quiet"],
        is_flag=True,
        expose_value=False,
        callback=_be_quiet,
        help="Do not say how far the work is.",
    )


def _be_quiet(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    session = context.find_object(Session)
    if given and session is not None:
        session.quiet = True


def _raise_verbosity(context: click.Context, parameter: click.Parameter, count: int) -> None:
    session = context.find_object(Session)
    if not count or session is None:
        return
    session.verbosity += count
    import logging

    level = logging.DEBUG if session.verbosity >= 2 else logging.INFO
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("undertow").setLevel(level)


@click.group(
    cls=Verbs,
    params=[_verbose(), _quiet()],
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="undertow %(version)s")
@click.pass_context
def undertow(context: click.Context, /) -> None:
    """Measure how a model trained on another model's outputs is pulled towards it."""
    if context.invoked_subcommand is None:
        click.echo(_first_words(context), err=True)
        context.exit(2)


FIRST = (
    ("new here", "undertow demo"),
    ("about to fine-tune", "undertow scan rows.jsonl --student MODEL"),
    ("just fine-tuned", "undertow diff BASE TUNED"),
    ("doing research", "undertow run owl"),
    ("deciding what may be used", "undertow init"),
    ("not sure what runs here", "undertow doctor"),
)
"""What to type first, by who types."""


def _first_words(context: click.Context) -> str:
    """What to type first, and the verbs; all else is in the help."""
    formatter = context.make_formatter()
    formatter.write_text(str(undertow.help))
    with formatter.section("Type first"):
        formatter.write_dl(FIRST)
    undertow.format_commands(context, formatter)
    formatter.write_paragraph()
    formatter.write_text("Options, exit codes: undertow --help; of a verb: undertow VERB --help")
    return formatter.getvalue().rstrip("\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; nothing below this function catches or exits."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    session = Session(verbosity=2 if os.environ.get("UNDERTOW_DEBUG") else 0)
    if asked := os.environ.get(COMPLETING):
        from undertow.cli.completion import completed

        return completed(undertow, asked)
    if not session.verbosity:
        # Each of five tries to reach the hub is told otherwise, and then the error that says it all.
        os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character gets its escape, not a crash after the work.
        sys.stdout.reconfigure(errors="backslashreplace")
    with interrupted_once():
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
            from undertow.cli.progress import work_shown

            with work_shown(session):
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
