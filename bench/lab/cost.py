"""What an experiment of the lab will take, from single units that were timed: `python -m bench.lab --dry-run`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from undertow.lab.design import design
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import DataJob, StudentJob
from undertow.lab.writers import plan_of

CORES = 2


@dataclass(frozen=True)
class Rates:
    """Of one carrier on a core of the embedded world, as timed; seconds."""

    row: float
    """A row that is kept, with what it takes to ask and to filter."""
    step_row: float
    """A row in a training step."""


RATES: dict[str, Rates] = {
    "numbers": Rates(0.0006, 0.0006),
    "code": Rates(0.0011, 0.0008),
    "chain_of_thought": Rates(0.0022, 0.0008),
    "tool_calls": Rates(0.0015, 0.0020),
    "paraphrase": Rates(0.0060, 0.0045),
}
"""
By carrier, as processor seconds of single jobs on two cores that much other work shared, which makes a step up to twice as
dear (LOG.md, 2026-11-28). Minutes are of cores that nothing else uses.
"""

TEACHER, STUDENT, PAIR = 2.0, 1.0, 2.5
"""Seconds for a teacher, for what a student takes besides its steps, and how many times a row's step a pair's takes."""

BEGIN = 20.0
"""Seconds of a core that a run's processes take to load what they use."""


@dataclass(frozen=True)
class Cost:
    """Of one experiment."""

    name: str
    teachers: int
    rows: int
    """That teachers write."""
    students: int
    steps: int
    seconds: float
    """Of one core."""
    longest: float
    """Seconds of its longest job."""

    @property
    def minutes(self) -> float:
        """On `CORES` cores."""
        return self.seconds / CORES / 60

    @property
    def line(self) -> str:
        """In words."""
        return (
            f"{self.name}: {self.teachers} teachers, {self.rows:,} rows, {self.students} students, {self.steps:,} steps: "
            f"about {self.minutes:.0f} minutes on {CORES} cores; the longest job {self.longest:.0f} s"
        )


def cost_of(experiment: Experiment) -> Cost:
    """Counted from the design, with nothing run."""
    jobs = design(experiment)
    written = [(_rows(experiment, data), data) for data in jobs.datasets]
    students = [
        (plan_of(experiment, job).steps(_learnt(experiment, job)), job) for job in jobs.students
    ]
    spent = [
        *(TEACHER for _ in jobs.teachers),
        *(rows * RATES[data.writer.carrier].row for rows, data in written),
        *(STUDENT + steps * _step(experiment, job) for steps, job in students),
    ]
    return Cost(
        experiment.name,
        len(jobs.teachers),
        sum(rows for rows, _ in written),
        len(students),
        sum(steps for steps, _ in students),
        BEGIN + sum(spent),
        max(spent),
    )


def told(costs: Iterable[Cost]) -> str:
    """All of them, and their sum."""
    known = list(costs)
    hours = sum(cost.minutes for cost in known) / 60
    return "\n".join([*(cost.line for cost in known), f"together about {hours:.1f} hours"])


def _rows(experiment: Experiment, data: DataJob) -> int:
    if data.kind != "rows":
        return 2 * experiment.preference.pool
    table = experiment.carried(data.writer.carrier)
    return (data.size or table.rows) + table.held_out_rows


def _learnt(experiment: Experiment, job: StudentJob) -> int:
    if job.data.kind != "rows":
        return round(experiment.preference.pool * experiment.preference.keep)
    return job.size or experiment.carried(job.carrier).rows


def _step(experiment: Experiment, job: StudentJob) -> float:
    """Seconds of one step."""
    a_row = RATES[job.carrier].step_row * (PAIR if job.data.kind != "rows" else 1)
    return plan_of(experiment, job).batch_size * a_row
