"""
What the screen and the gate say of each cell's rows: `python -m bench.lab.screened`, behind `python -m bench.lab NAME...`.

A scan a cell, of the first replicate, with the students' base and plan and all traits of the category: of `families` in a
budget of 2.5 planned trainings, about a minute each; of `safety` through the whole plan, some minutes each, as its policies
ask. Then the gate decides about the same rows (`gated`). The run's page shows all of it, and a finished scan is not made again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure, tell, write
from bench.lab.__main__ import RUNS
from bench.lab.gated import gated, gated_figures
from undertow.audit.run_scans import ArmScan, arm_scans, plan_path
from undertow.audit.scan import scan
from undertow.data.files import atomic_write
from undertow.lab.experiment import Experiment
from undertow.report import render
from undertow.report.run_decisions import RunBeside
from undertow.report.sections import toml_text
from undertow.results.run_document import RunDocument
from undertow.results.store import (
    RUN_FILE,
    SCAN_FILE,
    read_run,
    read_run_scans,
    read_scan,
    write_result,
)
from undertow.studies.experiments import load_experiment

BUDGETS: dict[str, float | None] = {"families": 2.5, "safety": None}
"""Of the scans of each experiment, in planned trainings; without one the whole plan is rehearsed."""

SEEN = ("stands out", "flagged")


def main(names: Sequence[str]) -> int:
    """Of the named experiments, or those that have been run: scan what is not yet, decide, write a figure a cell and a decision."""
    figures: list[Figure] = []
    seconds: dict[str, float] = {}
    for name in names or [name for name in BUDGETS if (RUNS / name / RUN_FILE).is_file()]:
        experiment, run = load_experiment(name), RUNS / name
        document = read_run(run)
        scans, beside = judged(experiment, document, run)
        figures += [*screened_figures(name, scans), *gated_figures(document, beside)]
        seconds[f"screened {name}"] = sum(read_scan(cell.folder).wall_seconds for cell in scans)
    tell(figures, write("lab", figures, seconds))
    return 0


def judged(
    experiment: Experiment, document: RunDocument, run: Path
) -> tuple[list[ArmScan], RunBeside]:
    """The scans and decisions of a finished run, whose page is written with them."""
    budget = BUDGETS.get(experiment.name)
    scans = list(arm_scans(experiment, document, run, budget, whole=budget is None))
    for cell in scans:
        if not cell.finished:
            print(cell.request.command, file=sys.stderr, flush=True)
            cell.folder.mkdir(parents=True, exist_ok=True)
            atomic_write(
                plan_path(run), f"{toml_text(experiment.student.model_dump(mode='json'))}\n"
            )
            write_result(cell.folder / SCAN_FILE, scan(cell.request))
    gates = gated(experiment, run, scans)
    beside = RunBeside(read_run_scans(run), gates)
    page = render(document, "html", scans=beside.scans, gates=beside.gates)
    atomic_write(run / "report.html", page)
    return scans, beside


def screened_figures(name: str, scans: Sequence[ArmScan]) -> list[Figure]:
    """Whether each cell's rows are seen by the screen."""
    verdicts = {cell.arm: str(read_scan(cell.folder).verdict) for cell in scans}
    return [
        Figure(
            f"screened {name}: {cell.arm}: seen by the screen",
            float(verdicts[cell.arm] in SEEN),
            "of 1 dataset",
            command=cell.request.command,
            note=verdicts[cell.arm],
        )
        for cell in scans
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
