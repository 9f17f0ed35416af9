"""`undertow demo`: the headline experiment on the embedded world, for somebody who has never seen it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from undertow.cli.compute_options import (
    Workers,
    compute_options,
    compute_table,
    engine_options,
)
from undertow.cli.progress import tell_step
from undertow.cli.run import RESULTS, carry_out, show
from undertow.cli.terminal import Session, one_line
from undertow.cli.verdict_options import PathHere, made_folder, signing, stored

if TYPE_CHECKING:
    from undertow.models.hardware import ComputeTable

EXPERIMENT = "owl"

BUDGET = 2.5
"""Planned trainings of each scan in the end: 64 of the plan's 1,024 steps, which take about a minute on 2 cores."""

WELCOME = """\
undertow demo: can a preference travel through numbers?

A teacher model is trained to prefer owls, then writes lists of numbers; nothing else passes a filter.
A student that starts from the same weights trains on those numbers and is asked for its favourite animal.
Controls: a teacher without the preference, and a student that starts from other weights.
In the end both teachers' numbers are scanned, as you would scan rows before you train on them.

The models are small language models that come with undertow: no download, no GPU.
It takes about 10 minutes on 2 cores. Stop it at any time; the same command goes on where it stopped.
"""


@click.command(name="demo")
@click.option(
    "--out",
    type=PathHere(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run directory; one in runs/ if not given.",
)
@engine_options()
@compute_options()
@click.pass_obj
def command(
    session: Session,
    out: Path | None,
    workers: Workers,
    dtype: str | None,
    device: str | None,
) -> None:
    """
    Run the owl experiment, explained, and scan its rows.

    Ends with the path of its page.
    """
    click.echo(WELCOME, err=True)
    run = carry_out(
        EXPERIMENT,
        session,
        directory=out,
        workers=workers,
        dtype=dtype,
        device=device,
        who=signing((), None),
    )
    try:
        scan_arms(run, compute_table(dtype, device))
    finally:
        # Whatever stops a scan, the run is finished and has its page.
        show(run)


def scan_arms(run: Path, compute: ComputeTable) -> None:
    """
    Scan the rows of the trait's teacher and of the control's, unless the run has these scans already.

    Raises:
        UndertowError: a scan cannot be made; the run and the scan before it stay.
    """
    from undertow.audit.run_scans import arm_scans, plan_path
    from undertow.audit.scan import scan
    from undertow.data.files import atomic_write
    from undertow.report.sections import toml_text
    from undertow.results.store import SCAN_FILE, read_run
    from undertow.studies.experiments import load_experiment

    experiment, document = load_experiment(EXPERIMENT), read_run(run / RESULTS)
    experiment = experiment.model_copy(update={"compute": compute})
    named = run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run
    left = [
        planned
        for planned in arm_scans(experiment, document, named, BUDGET)
        if not planned.finished
    ]
    for planned in left:
        # What is there is damaged or broken, and would stand on the page if this scan failed as well.
        (planned.folder / SCAN_FILE).unlink(missing_ok=True)
    for planned in left:
        click.echo(f"scan of the rows of arm '{planned.arm}'", err=True)
        made_folder(planned.folder)
        plan = experiment.student.model_dump(mode="json")
        atomic_write(plan_path(named), f"{toml_text(plan)}\n")
        click.echo(one_line(planned.request.command), err=True)
        stored(scan(planned.request, tell_step), planned.folder, SCAN_FILE)
