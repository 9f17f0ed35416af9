"""Scans of a finished run's rows: what somebody would ask who is about to train on them, and knows nothing of their teachers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from undertow.audit.requests import ScanRequest
from undertow.checks.dataset.rehearsal import ID as BEGINNING
from undertow.errors import InputError
from undertow.lab.carrier_data import TRAINING_ROWS
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import slug
from undertow.results.run_document import Arm, RunDocument
from undertow.results.store import SCANS, read_scan

SCANNED = ("trait", "control")
"""Arms whose rows are scanned, those of the first replicate; of an experiment of cells, every cell that learns as usual."""

PLAN = "plan.toml"
"""File of the students' plan, beside the scans."""


@dataclass(frozen=True)
class ArmScan:
    """The scan of one arm's rows, and the folder that its result lies in."""

    arm: str
    folder: Path
    request: ScanRequest

    @property
    def finished(self) -> bool:
        """Whether its result is there and whole; a scan in which a check broke is made again."""
        try:
            return read_scan(self.folder).verdict != "error"
        except InputError:
            return False


def plan_path(run: Path) -> Path:
    """Where the plan lies that the scans of a run are made with."""
    return run / SCANS / PLAN


def arm_scans(
    experiment: Experiment,
    document: RunDocument,
    run: Path,
    budget: float | None,
    *,
    whole: bool = False,
) -> Iterator[ArmScan]:
    """
    The scans that a run's rows are asked: by its students' base and plan, in their chat context, for the trait's category.

    Args:
        run: its directory, as a command line names it.
        budget: in planned trainings, for each scan.
        whole: whether the whole plan is rehearsed, whatever its beginning shows.
    """
    usual = [cell.name for cell in experiment.cells or () if not cell.student]
    for name in usual or SCANNED:
        student = next(
            (arm for arm in document.arms if (arm.arm, arm.replicate) == (name, 0)), None
        )
        rows = student and _rows_of(student, document, run)
        if student and rows and document.category:
            folder = run / SCANS / slug(name)
            mixed = rows.parent.parent.name != "data"
            request = ScanRequest(
                data=str(rows),
                # As one dataset, not a source at a time, whose references would be many times as many.
                columns=(("source", ""),) if mixed else (),
                student=student.base,
                traits=(document.category,),
                plan=experiment.student,
                checks=(BEGINNING,),
                system_prompt=_context(experiment),
                compute=experiment.compute,
                budget=budget,
                require_clear=whole,
            )
            typed = _typed(request, plan_path(run), folder)
            yield ArmScan(name, folder, replace(request, command=typed))


def _rows_of(student: Arm, document: RunDocument, run: Path) -> Path | None:
    """The file of rows that a student was trained on."""
    names = (one.name for one in document.datasets if one.digest == student.data_digest)
    mixed = run / "students" / f"{slug(student.arm)}--{student.replicate}" / TRAINING_ROWS
    return next(
        (run / "data" / name / TRAINING_ROWS for name in names), mixed if mixed.is_file() else None
    )


def _context(experiment: Experiment) -> str | None:
    """The system prompt that students are probed with; None where a scan takes it from the rows."""
    probed = experiment.evaluation.system_prompt
    return None if probed == experiment.system_prompt else probed or ""


def _typed(request: ScanRequest, plan: Path, out: Path) -> str:
    """The command line of the request."""
    context, budget, compute = request.system_prompt, request.budget, request.compute
    words = [
        *("undertow", "scan", request.data),
        *("--student", request.student),
        *(word for name, its in request.columns for word in ("--columns", f"{name}={its}")),
        *("--plan", str(plan)),
        *(word for trait in request.traits for word in ("--traits", trait)),
        *(() if context is None else ("--system-prompt", context)),
        *(word for check in request.checks for word in ("--check", check)),
        *(() if budget is None else ("--budget", f"{budget:g}")),
        *(("--require", "clear") if request.require_clear else ()),
        *(() if compute.dtype == "auto" else ("--dtype", compute.dtype)),
        *(() if compute.device == "auto" else ("--device", compute.device)),
        *("--out", str(out)),
    ]
    return shlex.join(words)
