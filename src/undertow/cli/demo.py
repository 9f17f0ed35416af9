"""
`undertow demo`: the headline experiment on the embedded world, for somebody who has never seen it.
"""

from __future__ import annotations

from pathlib import Path

import click

from undertow.cli.run import carry_out, engine_options
from undertow.cli.terminal import Session
from undertow.cli.verdict_options import signing

EXPERIMENT = "owl"

WELCOME = """\
undertow demo: can a preference travel through numbers?

A teacher model is trained to prefer owls, then writes lists of numbers; nothing else passes a filter.
A student that starts from the same weights trains on those numbers and is asked for its favourite animal.
Controls: a teacher without the preference, and a student that starts from other weights.

The models are small language models that come with undertow: no download, no GPU.
It takes about 8 minutes on 2 cores. Stop it at any time; the same command goes on where it stopped.
"""


@click.command(name="demo")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run directory; one in runs/ if not given.",
)
@engine_options()
@click.pass_obj
def command(session: Session, out: Path | None, engine: str, jobs: int | None) -> None:
    """
    Run the owl experiment, explained.

    Ends with the path of its page.
    """
    click.echo(WELCOME, err=True)
    carry_out(
        EXPERIMENT,
        session,
        directory=out,
        engine=engine,
        jobs=jobs,
        who=signing((), None),
    )
