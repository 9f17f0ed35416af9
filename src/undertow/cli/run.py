"""`undertow run`: an experiment, from a name or a file to its results and its page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.compute_options import (
    Workers,
    compute_options,
    compute_table,
    engine_options,
)
from undertow.cli.progress import shown_progress
from undertow.cli.terminal import Session, aligned, lines, one_line
from undertow.cli.verdict_options import PathHere, signing, signing_options

if TYPE_CHECKING:
    from undertow.provenance.signed_steps import Signing
    from undertow.results.provenance_documents import GateDocument
    from undertow.results.run_document import Note, RunDocument
    from undertow.results.scan_document import AnyScan


RESULTS = "results.json"
WIDTH = 100
LEFT_TO_THE_PAGE = ("unit", "least possible p", "test", "would have seen", "claim")


def carry_out(
    source: str,
    session: Session,
    *,
    directory: Path | None,
    workers: Workers,
    dtype: str | None = None,
    device: str | None = None,
    who: Signing | None = None,
) -> Path:
    """Run or resume the experiment of a name or file, in the lab's directory for it if none is given, which is returned."""
    from undertow.studies.experiments import STUDIES, load_experiment, run_study

    experiment = load_experiment(source)
    if (dtype or device) and experiment.kind not in STUDIES:
        table = compute_table(dtype, device, experiment.compute)
        experiment = experiment.model_copy(update={"compute": table})
    command = _typed(source, dtype, device)
    # A study is one pass of a minute: nothing of it is kept.
    session.resumable = experiment.kind not in STUDIES
    with shown_progress() as progress:
        if experiment.kind in STUDIES:
            run = run_study(experiment, directory, progress=progress, command=command)
        else:
            from undertow.lab.experiment_run import run_experiment
            from undertow.lab.run_directory import kept_in_words, run_folder

            folder = run_folder(experiment, directory)
            session.kept = lambda: kept_in_words(folder)
            run = run_experiment(
                experiment,
                directory,
                engine=workers.engine or "processes",
                jobs=workers.jobs,
                gpus=workers.gpus,
                memory=workers.memory,
                progress=progress,
                command=command,
            )
    if who is not None:
        from undertow.lab.run_attestation import attest_run

        # The teachers and rows of a study lie in no file.
        bundles = [] if experiment.kind in STUDIES else attest_run(experiment, run, who)
        click.echo(f"signed {len(bundles)} bundles in {one_line(str(run))}", err=True)
    return run


def _typed(source: str, dtype: str | None, device: str | None) -> str:
    given = {"--dtype": dtype, "--device": device}
    options = [word for name, value in given.items() if value for word in (name, value)]
    return shlex.join(["undertow", "run", source, *options])


def show(run: Path) -> None:
    """Write the page of a finished run into its directory; print what it found and, last, the page's path."""
    from undertow.data.files import atomic_write
    from undertow.report import render
    from undertow.results.store import read_run, read_run_gates, read_run_scans

    document, scans = read_run(run / RESULTS), read_run_scans(run)
    page = run / "report.html"
    gates = read_run_gates(run)
    atomic_write(page, render(document, "html", scans=scans, gates=gates))
    click.echo(summary(document, scans, gates))
    click.echo(f"\nreport: {one_line(str(page))}")


def summary(
    document: RunDocument, scans: Sequence[AnyScan] = (), gates: Sequence[GateDocument] = ()
) -> str:
    """
    What fits on a screen: the conclusion, the comparisons, verdicts and decisions on the rows, and what the doctor warns of.

    The whole in words is `undertow report RUN`.
    """
    from undertow.report.run_decisions import RunBeside, brief_decisions
    from undertow.report.run_tables import comparisons_table
    from undertow.report.run_verdicts import brief_verdicts

    parts = [lines(click.wrap_text(document.conclusion, width=WIDTH))]
    tables = []
    if document.comparisons:
        tables.append(comparisons_table(document.comparisons).without(*LEFT_TO_THE_PAGE))
    if scans:
        tables.append(brief_verdicts(document, scans))
    if gates:
        tables.append(brief_decisions(document, RunBeside(scans, gates)))
    parts += [
        aligned([table.columns, *(tuple(map(str, row)) for row in table.rows)]) for table in tables
    ]
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


@click.command(name="run")
@click.argument("experiment", metavar="NAME|FILE.toml")
@click.option(
    "--out",
    type=PathHere(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run directory; one in runs/ if not given. Holding the same experiment, it is resumed.",
)
@click.option(
    "--resume",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="RUN",
    help="Continue the run in this directory, which must exist.",
)
@engine_options()
@compute_options(
    "Precision of the models, in the place of the experiment's.",
    "Where they run, in the place of the experiment's.",
)
@signing_options("The producer's key: attests every teacher, dataset and student of the run.")
@click.pass_obj
def command(
    session: Session,
    experiment: str,
    out: Path | None,
    resume: Path | None,
    workers: Workers,
    dtype: str | None,
    device: str | None,
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
    run = carry_out(
        experiment,
        session,
        directory=resume or out,
        workers=workers,
        dtype=dtype,
        device=device,
        who=signing(keys, public_key),
    )
    show(run)
