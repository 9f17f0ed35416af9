"""`undertow checks`: the checks of a dataset and of a pair of models, and what each asks."""

from __future__ import annotations

import click

from undertow.cli.terminal import aligned


@click.command(name="checks")
def command() -> None:
    """
    List the checks: id, subject, kind, what it asks.

    A check of kind transfer judges; one of kind evidence never does.
    """
    from undertow.checks.registry import registered

    rows = [(one.id, one.about, one.kind, one.summary) for one in registered().values()]
    click.echo(aligned(rows))
