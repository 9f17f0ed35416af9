"""The command `undertow` and its verbs, each imported only when it is needed."""

from __future__ import annotations

import importlib

import click

from undertow import __version__
from undertow.cli.exit_codes import EXIT_CODES
from undertow.cli.session import Session
from undertow.errors import UnknownNameError

VERBS = (
    "demo",
    "scan",
    "calibrate",
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
)
"""Every verb, in the order of the help; each is the `command` of the module of its name."""


class Verbs(click.Group):
    """A group whose commands are the modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in their order."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, which takes `-v` like `undertow` itself does."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"undertow.cli.{cmd_name}").command
        if all("--verbose" not in parameter.opts for parameter in command.params):
            command.params.append(_verbose())
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """
        The verb that the first argument names.

        Raises:
            UnknownNameError: if there is no such verb.
        """
        if args[0] not in VERBS and not args[0].startswith("-"):
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
    params=[_verbose()],
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="undertow %(version)s")
@click.pass_context
def undertow(context: click.Context, /) -> None:
    """Measure how a model trained on another model's outputs is pulled towards it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)
