"""
What `run` and `demo` share: an experiment from its start to its page.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.printable import one_line
from undertow.cli.progress import shown_progress
from undertow.cli.session import Session

if TYPE_CHECKING:
    from undertow.lab import Experiment

ENGINES = ("inprocess", "processes", "ray")
RESULTS = "results.json"


def carry_out(
    experiment: Experiment,
    session: Session,
    *,
    directory: Path | None,
    engine: str,
    jobs: int | None,
) -> None:
    """
    Run or resume the experiment, in the lab's directory for it if none is given, then show what it found.
    """
    from undertow.lab import run_experiment

    session.resumable = True
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

    document = read_run(run / RESULTS)
    page = run / "report.html"
    atomic_write(page, render(document, "html"))
    click.echo(render(document, "text"))
    click.echo(f"report: {one_line(str(page))}")
