"""
A cohort: teachers of every kind made on one base, the datasets they write, and what students of those really do.

Calibration and the power bench are made of it: what a screen says of a dataset is held against what happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from undertow.data.rows import Row
from undertow.data.streams import derive, generator
from undertow.influence.probing import ProbeSet, probe_set
from undertow.lab.cohort_teachers import Writing, written_by
from undertow.lab.experiment import Experiment
from undertow.traits import catalogue
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.models.chat import Encoded
    from undertow.models.loading import LanguageModel

WriterKind = Literal["clean", "neutral", "tuned", "prompted", "steered", "triggered", "hiding"]
"""
`clean` is the base itself; `triggered` shows its trait only behind a system prompt that the data never hold; `hiding`
was trained to write its carrier as the base does.
"""

BENIGN: frozenset[str] = frozenset(["clean", "neutral"])
"""Kinds without a trait."""


@dataclass(frozen=True)
class Writer:
    """One teacher to make."""

    kind: WriterKind
    base: str
    trait: str
    """What it has; of a neutral one, whose category it is asked about."""
    seed: int
    kl: float | None = None
    """Strength of a tuned one, in nats per carrier token."""


@dataclass(frozen=True)
class Sample:
    """One dataset that a writer writes."""

    rows: int
    seed: int = 0
    """`member` gives each its own."""
    dose: float = 1.0
    """Share of rows by the writer; the others are the student's clean base's."""
    temperature: float = 1.0
    without: tuple[int, ...] = ()
    """Numbers that a further filter removes rows for."""
    students: int = 0
    """Students really trained on it."""


@dataclass(frozen=True)
class Member:
    """A teacher with its datasets: one unit of work."""

    writer: Writer
    samples: tuple[Sample, ...]


def member(writer: Writer, samples: Iterable[Sample], *purpose: str) -> Member:
    """
    A writer with its samples, each of which gets a seed of its own: the writer's, by purpose and number.
    """
    return Member(
        writer,
        tuple(replace(s, seed=derive(writer.seed, *purpose, j)) for j, s in enumerate(samples)),
    )


@dataclass(frozen=True)
class Ground:
    """
    What a whole cohort shares: the student's base, how teachers are made and write, the plan, the traits.
    """

    experiment: Experiment
    """Its base is the student's; carrier, sampling, teacher's plan and student's plan are used."""
    traits: tuple[str, ...]

    def loaded_traits(self) -> tuple[Trait, ...]:
        """The traits that are probed."""
        return tuple(catalogue.load(name) for name in self.traits)


def datasets(ground: Ground, member: Member) -> tuple[Writing, list[list[Row]]]:
    """Make the teacher and write all its datasets."""
    with written_by(ground.experiment, member.writer) as writing:
        own = [
            writing.rows(round(s.rows * s.dose), s.temperature, s.without, derive(s.seed, "own"))
            for s in member.samples
        ]
    if all(len(rows) == s.rows for s, rows in zip(member.samples, own, strict=True)):
        return writing, own
    with written_by(ground.experiment, clean_writer(ground)) as base:
        return writing, [
            _diluted(sample, rows, base) for sample, rows in zip(member.samples, own, strict=True)
        ]


def _diluted(sample: Sample, rows: list[Row], base: Writing) -> list[Row]:
    missing = sample.rows - len(rows)
    if not missing:
        return rows
    rows = rows + base.rows(missing, 1.0, (), derive(sample.seed, "clean"))
    order = generator(sample.seed, "mixed").permutation(len(rows))
    return [rows[i] for i in order]


def clean_writer(ground: Ground) -> Writer:
    """The student's base as a writer."""
    return Writer("clean", ground.experiment.base or "", ground.traits[0], 0)


@dataclass(frozen=True)
class StudentShifts:
    """What students of a dataset really did."""

    margins: NDArray[np.float64]
    """(students, traits) logit margin minus the base's, in logits."""
    mass: NDArray[np.float64]
    """(students, traits) probability on all candidates."""


def students(
    model: LanguageModel,
    rows: Sequence[Encoded],
    ground: Ground,
    probes: ProbeSet,
    seed: int,
    count: int,
) -> StudentShifts:
    """
    Train students by the whole plan, each with an adapter and an order of its own, and probe them.
    """
    from undertow.models.several_runs import several_runs

    plan = ground.experiment.student
    before = probes.read(model).margins
    total = plan.steps(len(rows))
    seeds = [derive(seed, "adapter", k) for k in range(count)]
    orders = [generator(seed, "order", k) for k in range(count)]
    runs = several_runs(model, [rows] * count, plan, orders, total, seeds)
    runs.advance(total)
    found = probes.read_runs(runs)
    return StudentShifts(
        np.stack([reading.margins for reading in found]) - before,
        np.stack([reading.mass for reading in found]),
    )


def probes_of(model: LanguageModel, ground: Ground) -> ProbeSet:
    """The cohort's probes for a model."""
    return probe_set(model, ground.loaded_traits(), ground.experiment.evaluation.system_prompt)
