"""
What `run` and `demo` share: an experiment from its start to its page.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.printable import one_line
from undertow.cli.progress import shown_progress
from undertow.cli.session import Session

if TYPE_CHECKING:
    from undertow.lab import Experiment

ENGINES = ("inprocess", "processes", "ray")
RUNS = Path("runs")


def carry_out(
    experiment: Experiment,
    session: Session,
    *,
    given_as: str,
    directory: Path | None,
    engine: str,
    jobs: int | None,
) -> None:
    """
    Run or resume the experiment in `directory` (`runs/NAME` if none is given), then show what it found.

    `given_as` is what the user typed for the experiment; the resume command repeats it.
    """
    from undertow.lab import run_experiment

    directory = directory or RUNS / experiment.name
    chosen = ["--engine", engine, *(["--jobs", str(jobs)] if jobs else [])]
    session.resume_command = shlex.join(
        ["undertow", "run", given_as, "--resume", str(directory), *chosen]
    )
    with shown_progress() as progress:
        run = run_experiment(experiment, directory, engine=engine, jobs=jobs, progress=progress)
    show(run)


def show(run: Path) -> None:
    """
    Write the page of a finished run into its directory; print what it found and, last, the page's path.
    """
    from undertow.data.writing import atomic_write
    from undertow.report import render
    from undertow.results.store import read_run

    document = read_run(run)
    page = run / "report.html"
    atomic_write(page, render(document, "html"))
    click.echo(render(document, "text"))
    click.echo(f"report: {one_line(str(page))}")
