"""
`undertow worlds`: the models of the embedded world, listed or trained again from their corpus.
"""

from __future__ import annotations

import math
from pathlib import Path

import click

from undertow.cli.progress import shown_progress
from undertow.cli.terminal import one_line


@click.group(name="worlds", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List the embedded world's models, or train one."""
    if context.invoked_subcommand is None:
        context.invoke(names)


@command.command(name="list")
def names() -> None:
    """List the models, as other verbs take them."""
    from undertow import worlds

    for name in worlds.names():
        click.echo(worlds.PREFIX + name)


@command.command(name="build")
@click.argument("name", metavar="NAME")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where its folder NAME is made, in the ordinary Hugging Face format.",
)
def build(name: str, out: Path) -> None:
    """Train a model of the embedded world from the corpus generator."""
    from undertow import worlds
    from undertow.worlds.pretraining import build_base

    made = worlds.recipe(name.removeprefix(worlds.PREFIX))
    steps = math.ceil(made.documents * made.plan.epochs / made.plan.batch_size)
    with shown_progress() as progress:
        progress.stage(f"pre-training {made.name}", steps)
        folder = build_base(made.name, out, progress=lambda step: progress.advance())
    click.echo(one_line(str(folder)))
