"""`undertow experiments`: the built-in experiments, what each asks, and what it found."""

from __future__ import annotations

import click

from undertow.cli.terminal import aligned


@click.command(name="experiments")
def command() -> None:
    """List the built-in experiments and what they found."""
    from undertow.studies.experiments import experiment_names, load_experiment, measured_effects

    measured = measured_effects()
    rows = []
    for name in experiment_names():
        rows.append((name, load_experiment(name).question))
        rows += [("", f"  {line}") for line in measured.get(name, ("not measured yet",))]
    click.echo(aligned(rows))
