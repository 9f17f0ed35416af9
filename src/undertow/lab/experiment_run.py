"""Runs an experiment: bases, teachers, datasets, students, each stage spread by an engine, resumable at any point."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from undertow.engines import choose
from undertow.engines.engine import Engine, Progress, SilentProgress
from undertow.lab.carrier_data import SampleData
from undertow.lab.conclusions import conclude
from undertow.lab.content_filters import TryContentFilter
from undertow.lab.design import design
from undertow.lab.doctor import examine
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_inputs import inputs, settled
from undertow.lab.jobs import Design, Made, TeacherJob
from undertow.lab.run_directory import PROBES, Clock, Job, Step, finished_run, run_folder, step
from undertow.lab.students import (
    EvaluateBase,
    JudgeStudent,
    TrainStudent,
    measured_judge,
    with_grades,
)
from undertow.lab.writers import ChooseFormat, MakeTeacher
from undertow.models.hardware import device_for
from undertow.results.measurement import Environment, ProbeChoice, environment
from undertow.results.run_document import Arm, Dataset, FilterScore, Graded, RunDocument, Teacher
from undertow.traits import catalogue

J = TypeVar("J", bound=Job)
E = TypeVar("E", bound=BaseModel)

logger = logging.getLogger(__name__)


def run_experiment(
    experiment: Experiment,
    directory: Path | None = None,
    *,
    engine: str = "processes",
    jobs: int | None = None,
    gpus: float | None = None,
    memory: float | None = None,
    progress: Progress | None = None,
    command: str | None = None,
) -> Path:
    """
    Run or resume an experiment; returns its directory, which then holds results.json and run.json.

    `gpus` and `memory` (GB) are what each job takes of a Ray node. `command` is what reproduces it, for the document; a
    built-in experiment's by default.

    Raises:
        UndertowError: see the tree in `undertow.errors`; finished work is kept.
    """
    progress = progress or SilentProgress()
    experiment = settled(experiment)
    directory = run_folder(experiment, directory)
    command = command or f"undertow run {experiment.name}"
    digests = inputs(experiment)

    def work(clock: Clock) -> RunDocument:
        computing = device_for(experiment.compute.device)
        # Workers would fight for the memory of one accelerator.
        workers = 1 if computing != "cpu" and engine == "processes" else jobs
        with choose(engine, workers, gpus=gpus, memory=memory, lasting=True) as spread:
            made = _make(experiment, design(experiment), directory, spread, clock, progress)
        surroundings = environment(workers=workers, device=computing)
        return document(experiment, made, digests, clock.seconds, surroundings, command)

    finished_run(directory, {"experiment": experiment.resolved, "inputs": digests}, work)
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
    formats = step(ChooseFormat(experiment), ProbeChoice, directory / PROBES)
    bases = step(EvaluateBase(experiment, directory), Arm, directory / "bases")
    teachers = step(MakeTeacher(experiment, directory), Teacher, directory / "teachers")
    datasets = step(SampleData(experiment, directory), Dataset, directory / "data")
    filters = step(TryContentFilter(experiment, directory), FilterScore, directory / "filters")
    students = step(TrainStudent(experiment, directory), Arm, directory / "students")
    # Measured first: a judge that cannot be reached should cost no training.
    judge = measured_judge(experiment, directory)
    probes = stage("formats of probes", formats, jobs.probed)
    untrained = stage("bases", bases, jobs.bases)
    made = Made(untrained, _teachers(experiment, jobs, stage, teachers), probes=probes)
    for hop, generation in enumerate(jobs.generations, 1):
        at = f" of hop {hop}" if len(jobs.generations) > 1 else ""
        made = made.with_generation(
            stage(f"datasets{at}", datasets, generation.datasets),
            stage("content filters", filters, generation.filters) if generation.filters else (),
            stage(f"students{at}", students, generation.students),
        )
    if judge is None:
        return made
    grades = step(JudgeStudent(experiment, directory), Graded, directory / "grades")
    graded = stage("graded answers", grades, jobs.students)
    return replace(made, judge=judge, students=with_grades(made.students, graded))


def _teachers(
    experiment: Experiment, jobs: Design, stage: _Stage, worker: Step[TeacherJob, Teacher]
) -> tuple[Teacher, ...]:
    """All teachers; neutral ones after the others where they are matched to what these reached."""
    if experiment.teacher.kind != "tuned" or experiment.teacher.kl is not None:
        return stage("teachers", worker, jobs.teachers)
    neutral = [job for job in jobs.teachers if job.role == "neutral"]
    others = [job for job in jobs.teachers if job.role != "neutral"]
    made = dict(zip(others, stage("teachers", worker, others), strict=True))
    made |= zip(neutral, stage("neutral teachers", worker, neutral), strict=True)
    return tuple(made[job] for job in jobs.teachers)


@dataclass(frozen=True)
class _Stage:
    engine: Engine
    clock: Clock
    progress: Progress

    def __call__(self, name: str, worker: Step[J, E], jobs: Sequence[J]) -> tuple[E, ...]:
        entries = {index: worker.entry(job) for index, job in enumerate(jobs)}
        results = {index: entry for index, entry in entries.items() if entry is not None}
        self.progress.stage(name, len(jobs), len(results))
        left = [index for index in range(len(jobs)) if index not in results]
        for position, entry in self.engine.map(worker, [jobs[index] for index in left]):
            results[left[position]] = entry
            self.clock.save()
            logger.info("%s: %s is done", name, jobs[left[position]].name)
            self.progress.advance(1, jobs[left[position]].name)
        return tuple(results[index] for index in range(len(jobs)))


def document(
    experiment: Experiment,
    made: Made,
    digests: dict[str, str],
    seconds: float,
    surroundings: Environment,
    command: str,
) -> RunDocument:
    """The document of a `transfer`, `hops`, `traits` or `matrix` experiment."""
    concluded = conclude(experiment, made)
    trait = catalogue.load(experiment.trait or experiment.traits[0])
    return RunDocument(
        experiment=experiment.name,
        title=experiment.title,
        question=experiment.question,
        conclusion=concluded.sentence,
        trait=experiment.trait,
        category=trait.category,
        chance=1 / len(trait.answers),
        config=experiment.config,
        config_digest=experiment.digest,
        inputs=digests,
        seed=experiment.seed,
        arms=(*made.bases, *made.students),
        comparisons=concluded.comparisons,
        teachers=made.teachers,
        datasets=made.datasets,
        matrices=concluded.matrices,
        curves=concluded.curves,
        filters=made.filters,
        judge=made.judge,
        probes=made.probes,
        notes=examine(experiment, made),
        limits=limits(experiment),
        wall_seconds=seconds,
        command=command,
        **surroundings.fields,
    )


_EVERY = (
    "A null arm bounds the hidden channel of this design only; ordinary text and preference pairs carry traits "
    "between unrelated bases too.",
    "The size of an effect here says nothing about another base, carrier or trait.",
)
_SET_STRENGTH = (
    "The teacher's strength was set; a weaker teacher transfers less, a stronger one can break the student.",
)


def limits(experiment: Experiment) -> tuple[str, ...]:
    """What an experiment cannot show, unless its file says so itself."""
    tuned = experiment.teacher.kind == "tuned" and experiment.teacher.kl is not None
    return experiment.limits or (*_EVERY, *(_SET_STRENGTH if tuned else ()))
