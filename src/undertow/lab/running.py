"""
Runs an experiment: bases, teachers, datasets, students, each stage spread by an engine, resumable at any point.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from undertow.data.writing import atomic_write
from undertow.engines.choice import choose
from undertow.engines.engine import Engine
from undertow.engines.progress import Progress, SilentProgress
from undertow.lab import digits, theorem
from undertow.lab.content_filtering import TryContentFilter
from undertow.lab.design import design
from undertow.lab.documenting import document
from undertow.lab.environment import environment
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import BaseJob, DataJob, Design, FilterJob, StudentJob, TeacherJob
from undertow.lab.judging import JudgeStudent, measured_judge, with_grades
from undertow.lab.material import Made
from undertow.lab.opening import device
from undertow.lab.preflight import inputs
from undertow.lab.run_directory import (
    RECORD,
    RESULTS,
    Clock,
    Job,
    Step,
    locked,
    prepare,
    refuse_foreign,
)
from undertow.lab.sampling_data import SampleData
from undertow.lab.studying import EvaluateBase, TrainStudent
from undertow.lab.teaching import MakeTeacher
from undertow.results.run import Arm, Dataset, RunDocument, Teacher
from undertow.results.scores import FilterScore, Graded
from undertow.results.store import write_result

J = TypeVar("J", bound=Job)
E = TypeVar("E", bound=BaseModel)

RUNS = Path("runs")

logger = logging.getLogger(__name__)


def run_experiment(
    experiment: Experiment,
    directory: Path | None = None,
    *,
    engine: str = "processes",
    jobs: int | None = None,
    progress: Progress | None = None,
    command: str | None = None,
) -> Path:
    """
    Run or resume an experiment; returns its directory, which then holds results.json and run.json.

    `command` is what reproduces it, for the document; a built-in experiment's by default.

    Raises:
        UndertowError: see the tree in `undertow.errors`; finished work is kept.
    """
    progress = progress or SilentProgress()
    # Absolute, since a worker of another engine may stand elsewhere.
    directory = (directory or RUNS / f"{experiment.name}-{experiment.digest[:8]}").resolve()
    command = command or f"undertow run {experiment.name}"
    digests = inputs(experiment)
    plan = {"experiment": experiment.model_dump(mode="json"), "inputs": digests}
    refuse_foreign(directory)
    with locked(directory):
        prepare(directory, plan)
        if (directory / RECORD).exists():
            # Written last, so the run is whole: nothing is computed again.
            progress.finish()
            return directory
        clock = Clock(directory)
        if experiment.kind in ("digits", "theorem"):
            result = _network_experiment(experiment, digests, clock, progress, command)
        else:
            computing = device(experiment.compute.device)
            if computing != "cpu" and engine == "processes":
                jobs = 1  # workers would fight for the memory of one accelerator
            made = _make(
                experiment, design(experiment), directory, choose(engine, jobs), clock, progress
            )
            surroundings = environment(workers=jobs, device=computing)
            result = document(experiment, made, digests, clock.seconds, surroundings, command)
        clock.save()
        write_result(directory / RESULTS, result)
        _record(directory, result)
    progress.finish()
    return directory


def _make(
    experiment: Experiment,
    jobs: Design,
    directory: Path,
    engine: Engine,
    clock: Clock,
    progress: Progress,
) -> Made:
    stage = _Stage(engine, clock, progress)
    bases = Step[BaseJob, Arm](EvaluateBase(experiment), Arm, directory / "bases")
    teachers = Step[TeacherJob, Teacher](MakeTeacher(experiment), Teacher, directory / "teachers")
    datasets = Step[DataJob, Dataset](
        SampleData(experiment, directory), Dataset, directory / "data"
    )
    filters = Step[FilterJob, FilterScore](
        TryContentFilter(experiment, directory), FilterScore, directory / "filters"
    )
    students = Step[StudentJob, Arm](
        TrainStudent(experiment, directory), Arm, directory / "students"
    )
    # Measured first: a judge that cannot be reached should cost no training.
    judge = measured_judge(experiment, directory)
    made = Made(stage("bases", bases, jobs.bases), stage("teachers", teachers, jobs.teachers))
    for hop, generation in enumerate(jobs.generations, 1):
        at = f" of hop {hop}" if len(jobs.generations) > 1 else ""
        made = made.with_generation(
            stage(f"datasets{at}", datasets, generation.datasets),
            stage("content filters", filters, generation.filters) if generation.filters else (),
            stage(f"students{at}", students, generation.students),
        )
    if judge is None:
        return made
    grades = Step[StudentJob, Graded](
        JudgeStudent(experiment, directory), Graded, directory / "grades"
    )
    graded = stage("graded answers", grades, jobs.students)
    return replace(made, judge=judge, students=with_grades(made.students, graded))


@dataclass(frozen=True)
class _Stage:
    engine: Engine
    clock: Clock
    progress: Progress

    def __call__(self, name: str, step: Step[J, E], jobs: Sequence[J]) -> tuple[E, ...]:
        self.progress.stage(name, len(jobs))
        results: dict[int, E] = {}
        for index, job in enumerate(jobs):
            found = step.finished(job)
            if found is not None:
                results[index] = found
                self.progress.advance(1, f"{job.name} (already done)")
        left = [index for index in range(len(jobs)) if index not in results]
        worker: Callable[[J], E] = step
        for position, entry in self.engine.map(worker, [jobs[index] for index in left]):
            results[left[position]] = entry
            self.clock.save()
            logger.info("%s: %s is done", name, jobs[left[position]].name)
            self.progress.advance(1, jobs[left[position]].name)
        return tuple(results[index] for index in range(len(jobs)))


def _network_experiment(
    experiment: Experiment,
    digests: dict[str, str],
    clock: Clock,
    progress: Progress,
    command: str,
) -> RunDocument:
    if experiment.digits is not None:
        parts = digits.run(experiment.digits, progress, seed=experiment.seed)
    else:
        assert experiment.theorem is not None
        parts = theorem.run(experiment.theorem, progress, seed=experiment.seed)
    return RunDocument.model_validate(
        {
            "experiment": experiment.name,
            "title": experiment.title,
            "question": experiment.question,
            "config": experiment.model_dump(mode="json", exclude_none=True),
            "config_digest": experiment.digest,
            "inputs": digests,
            "seed": experiment.seed,
            "wall_seconds": clock.seconds,
            **environment(workers=1, device="cpu").fields,
            **parts,
            "command": command,
        }
    )


def _record(directory: Path, result: RunDocument) -> None:
    # Written last: where it stands, everything before it is whole.
    record = {
        "experiment": result.experiment,
        "config_digest": result.config_digest,
        "results": RESULTS,
        "git_revision": result.git_revision,
        "packages": result.packages,
        "command": result.command,
        "wall_seconds": result.wall_seconds,
    }
    atomic_write(directory / RECORD, json.dumps(record, indent=1))
