"""`undertow experiments`: the built-in experiments and what each asks."""

from __future__ import annotations

import click

from undertow.cli.terminal import aligned


@click.command(name="experiments")
def command() -> None:
    """List the built-in experiments and what they ask."""
    from undertow.studies.experiments import experiment_names, load_experiment

    click.echo(aligned([(name, load_experiment(name).question) for name in experiment_names()]))
