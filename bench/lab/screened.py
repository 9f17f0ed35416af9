"""
What the screen says of each cell's rows of `families`: `python -m bench.lab.screened`, behind `python -m bench.lab families`.

A scan a cell, of the first replicate, with the students' base and plan and all animals, in a budget of 2.5 planned trainings:
about a minute each; the run's page shows them, and a finished one is not made again.
"""

from __future__ import annotations

import sys

from bench.figures import Figure, tell, write
from bench.lab.__main__ import RUNS
from undertow.audit.run_scans import arm_scans, plan_path
from undertow.audit.scan import scan
from undertow.data.files import atomic_write
from undertow.report.sections import toml_text
from undertow.results.store import SCAN_FILE, read_run, read_scan, write_result
from undertow.studies.experiments import load_experiment

COMMAND = "python -m bench.lab.screened"
NAME, BUDGET = "families", 2.5
SEEN = ("stands out", "flagged")


def main() -> int:
    """Scan what is not scanned yet, and write a figure a cell."""
    experiment, run = load_experiment(NAME), RUNS / NAME
    document = read_run(run / "results.json")
    planned = list(arm_scans(experiment, document, run, BUDGET))
    for cell in planned:
        if not cell.finished:
            print(cell.request.command, file=sys.stderr, flush=True)
            cell.folder.mkdir(parents=True, exist_ok=True)
            atomic_write(
                plan_path(run), f"{toml_text(experiment.student.model_dump(mode='json'))}\n"
            )
            write_result(cell.folder / SCAN_FILE, scan(cell.request))
    documents = {cell.arm: read_scan(cell.folder) for cell in planned}
    figures = [
        Figure(
            f"screened {NAME}: {cell.arm}: seen by the screen",
            float(documents[cell.arm].verdict in SEEN),
            "of 1 dataset",
            command=cell.request.command,
            note=str(documents[cell.arm].verdict),
        )
        for cell in planned
    ]
    seconds = {f"screened {NAME}": sum(made.wall_seconds for made in documents.values())}
    tell(figures, write("lab", figures, seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
