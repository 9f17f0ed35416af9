"""`undertow completion`: what a shell needs to complete verbs, options and their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from undertow.cli.terminal import COMPLETING, one_line
from undertow.errors import UndertowError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SHELLS = {
    "bash": 'eval "$(undertow completion bash)"  # in ~/.bashrc',
    "zsh": 'eval "$(undertow completion zsh)"  # in ~/.zshrc, after compinit',
    "fish": "undertow completion fish > ~/.config/fish/completions/undertow.fish",
}
"""What makes it last, by shell."""

_FILES = ("FILE", "DATA", "MODEL", "PEM", "KEY", "JSON", "BASE", "TUNED", "STUDENT", "TEACHER")


@click.command(name="completion", epilog="To keep it: " + "; ".join(SHELLS.values()))
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def command(shell: str) -> None:
    """
    Print the script by which a shell completes undertow.

    Verbs, options, choices, files, worlds, experiments, traits and checks; no model is opened for it.
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    # Not source(), which runs the shell to ask for its version.
    writer = made(click.get_current_context().find_root().command, {}, "undertow", COMPLETING)
    click.echo(writer.source_template % writer.source_vars())


def completed(program: click.Command, asked: str) -> int:
    """
    Answer a shell: `bash_complete` and its like, the line being in the environment.

    A fault there is nobody's to read: it ends in no suggestions.
    """
    from click.shell_completion import get_completion_class

    shell, _, what = asked.partition("_")
    made = get_completion_class(shell)
    if made is None or what != "complete":
        return 2
    try:
        click.echo(made(program, {}, "undertow", COMPLETING).complete())
    except (click.ClickException, UndertowError, KeyError, ValueError):
        return 2
    return 0


def with_values(command: click.Command) -> None:
    """Give a verb's parameters what they can be completed with, by what their metavar says they are."""
    for parameter in command.params:
        kind = parameter.metavar or ""
        if isinstance(parameter.type, click.types.StringParamType):
            parameter._custom_shell_complete = _values(kind)
    for part in command.commands.values() if isinstance(command, click.Group) else ():
        with_values(part)


def _values(metavar: str) -> Callable[..., list[CompletionItem]]:
    def listed(
        context: click.Context, parameter: click.Parameter, begun: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [
            name for name in _names(metavar, context.info_name or "") if name.startswith(begun)
        ]
        items = [CompletionItem(one_line(name)) for name in names]
        is_file = any(word in metavar for word in _FILES) and not (begun and items)
        # bash forgets what stands before a file, and shows files where no name is left.
        return [CompletionItem(begun, type="file"), *items] if is_file else items

    return listed


_OF_MODELS = ("MODEL", "BASE", "TUNED", "STUDENT", "TEACHER", "A", "B")


def _names(metavar: str, verb: str) -> Sequence[str]:
    """What is known by name and can stand there; each is read where it is listed, never a model."""
    words = re.findall(r"[A-Za-z_]+", metavar)
    if verb in ("fetch", "build") and words == ["NAME"]:
        from undertow.worlds.base_models import BaseRecipe, FetchedRecipe, worlds

        kind = FetchedRecipe if verb == "fetch" else BaseRecipe
        return [world.name for world in worlds() if isinstance(world, kind)]
    if words[:2] == ["NAME", "FILE"]:
        return _traits_and_policies(verb)
    if words[:1] in (["ID"], ["CHECK"]):
        from undertow.checks.registry import registered
        from undertow.cli.explain import documentation, examples

        pages = [*documentation(), *examples()] if "PAGE" in words else []
        return [*sorted(registered()), *pages]
    if any(word in _OF_MODELS for word in words):
        from undertow.worlds.base_models import PREFIX, worlds

        return [PREFIX + world.name for world in worlds()]
    return ()


def _traits_and_policies(verb: str) -> Sequence[str]:
    if verb == "run":
        from undertow.cli.experiments import shipped

        return list(shipped())
    if verb in ("gate", "init"):
        from undertow.policy.rules import STARTERS

        return STARTERS
    from undertow.traits import catalogue

    return [*catalogue.names(), *catalogue.categories()]
