"""What `run` and `demo` share: an experiment from its start to its page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.columns import aligned
from undertow.cli.printable import lines, one_line
from undertow.cli.progress import shown_progress
from undertow.cli.session import Session

if TYPE_CHECKING:
    from undertow.provenance.signed_steps import Signing
    from undertow.results.run_document import Note, RunDocument

ENGINES = ("inprocess", "processes", "ray")
RESULTS = "results.json"
WIDTH = 100
LEFT_TO_THE_PAGE = ("unit", "least possible p", "test", "would have seen", "claim")


def carry_out(
    source: str,
    session: Session,
    *,
    directory: Path | None,
    engine: str,
    jobs: int | None,
    signing: Signing | None = None,
) -> None:
    """
    Run or resume the experiment of a name or file, in the lab's directory for it if none is given, then show what it found.
    """
    from undertow.studies.experiments import STUDIES, load_experiment, run_study

    experiment = load_experiment(source)
    command = f"undertow run {shlex.quote(source)}"
    # A study is one pass of a minute: nothing of it is kept.
    session.resumable = experiment.kind not in STUDIES
    with shown_progress() as progress:
        if experiment.kind in STUDIES:
            run = run_study(experiment, directory, progress=progress, command=command)
        else:
            from undertow.lab.experiment_run import run_experiment

            run = run_experiment(
                experiment, directory, engine=engine, jobs=jobs, progress=progress, command=command
            )
    if signing is not None:
        from undertow.lab.run_attestation import attest_run

        # The teachers and rows of a study lie in no file.
        bundles = [] if experiment.kind in STUDIES else attest_run(experiment, run, signing)
        click.echo(f"signed {len(bundles)} bundles in {one_line(str(run))}", err=True)
    show(run)


def show(run: Path) -> None:
    """
    Write the page of a finished run into its directory; print what it found and, last, the page's path.
    """
    from undertow.data.files import atomic_write
    from undertow.report import render
    from undertow.results.store import read_run

    document = read_run(run / RESULTS)
    page = run / "report.html"
    atomic_write(page, render(document, "html"))
    click.echo(summary(document))
    click.echo(f"\nreport: {one_line(str(page))}")


def summary(document: RunDocument) -> str:
    """
    What fits on a screen: the conclusion, the comparisons, and what the doctor warns of.

    The whole in words is `undertow report RUN`.
    """
    from undertow.report.run_tables import comparisons_table

    parts = [lines(click.wrap_text(document.conclusion, width=WIDTH))]
    if document.comparisons:
        table = comparisons_table(document.comparisons).without(*LEFT_TO_THE_PAGE)
        parts.append(aligned([table.columns, *(tuple(map(str, row)) for row in table.rows)]))
    warnings = [note for note in document.notes if note.level != "info"]
    if warnings:
        parts.append("\n".join(map(one_line, _each_kind_once(warnings))))
    return "\n\n".join(parts)


def _each_kind_once(notes: Sequence[Note]) -> list[str]:
    """The first note of each kind, with the number of those that say the same of other subjects."""
    kinds: dict[str, list[Note]] = {}
    for note in notes:
        kinds.setdefault(note.id, []).append(note)
    return [
        f"{same[0].level}: {same[0].message}"
        + (f" ({len(same) - 1} more like it)" if len(same) > 1 else "")
        for same in kinds.values()
    ]
