"""`undertow run`: an experiment, from a name or a file to its results and its page."""

from __future__ import annotations

from pathlib import Path

import click

from undertow.cli.experiment import ENGINES, carry_out
from undertow.cli.session import Session
from undertow.cli.signing import signing, signing_options


@click.command(name="run")
@click.argument("experiment", metavar="NAME|FILE.toml")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run directory; one in runs/ if not given. Holding the same experiment, it is resumed.",
)
@click.option(
    "--resume",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="RUN",
    help="Continue the run in this directory, which must exist.",
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="processes",
    show_default=True,
    help="How the work is spread.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Workers; one a core if not given."
)
@signing_options("The producer's key: attests every teacher, dataset and student of the run.")
@click.pass_obj
def command(
    session: Session,
    experiment: str,
    out: Path | None,
    resume: Path | None,
    engine: str,
    jobs: int | None,
    keys: tuple[str, ...],
    public_key: str | None,
) -> None:
    """
    Run or resume an experiment.

    NAME is a built-in one (undertow experiments), FILE.toml your own.

    Prints what it found on stdout and leaves results.json and report.html in the run directory. Interrupted
    anywhere, it goes on where it stopped when it is run again.
    """
    if out is not None and resume is not None:
        raise click.UsageError("--out and --resume both name the run directory; give one")
    carry_out(
        experiment,
        session,
        directory=resume or out,
        engine=engine,
        jobs=jobs,
        signing=signing(keys, public_key),
    )
