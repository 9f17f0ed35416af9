"""A dataset of the bench with everything that its arms need and that students of it are measured on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bench.cohort import Ground, Writer, Writing, clean_writer, written_by
from bench.mitigation.design import HELD_OUT, KL, ROWS, Task, experiment_of
from undertow.carriers.carrier import Carrier
from undertow.carriers.carrier_registry import carrier as carrier_named
from undertow.data.rows import Row
from undertow.data.seeds import derive, generator
from undertow.lab.experiment_inputs import open_model
from undertow.mitigate.training.penalties import answered
from undertow.traits import catalogue
from undertow.traits.catalogue import all_probes
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.models.language_model import LanguageModel

NEUTRAL = 256
"""Held-out questions of other categories that capability is measured on."""


@dataclass(frozen=True)
class Situation:
    """Rows, their writer, and the clean base."""

    task: Task
    ground: Ground
    carrier: Carrier
    trait: Trait
    writing: Writing
    base: LanguageModel
    """Another copy than the writer's, never trained."""
    rows: list[Row]
    clean: list[Row]
    """As many by the base, and as many again to dilute with."""
    held_out: list[Row]
    """By the teacher."""
    clean_held_out: list[Row]
    neutral: list[Row]
    """The base's own answers to questions that no countermeasure sees."""

    @property
    def seed(self) -> int:
        """Of this replicate."""
        return replicate_seed(self.task)

    def rng(self, *purpose: str) -> np.random.Generator:
        """The stream of a purpose."""
        return generator(self.seed, *purpose)


def replicate_seed(task: Task) -> int:
    """The same for all groups of arms on one dataset, so that they share it."""
    return derive(task.seed, task.kind, task.number)


def writer_of(task: Task, trait: str) -> Writer:
    """The teacher of a task."""
    kind = "steered" if task.kind == "steered" else "tuned"
    seed = derive(replicate_seed(task), "teacher", trait)
    return Writer(kind, experiment_of(task.kind).base or "", trait, seed, KL[task.kind])


@contextmanager
def situation(task: Task) -> Iterator[Situation]:
    """Within the block, the dataset beside its writer."""
    experiment = experiment_of(task.kind)
    names = tuple(trait.name for trait in catalogue.load_category("animal"))
    ground = Ground(experiment, names)
    seed = replicate_seed(task)
    trait = catalogue.load(names[int(generator(seed, "trait").integers(len(names)))])
    with written_by(experiment, clean_writer(ground)) as by_base:
        clean = by_base.rows(2 * ROWS, 1.0, (), derive(seed, "clean"))
        clean_held_out = by_base.rows(HELD_OUT, 1.0, (), derive(seed, "clean held out"))
    base = open_model(experiment, experiment.base or "")
    with written_by(experiment, writer_of(task, trait.name)) as writing:
        yield Situation(
            task=task,
            ground=ground,
            carrier=carrier_named(experiment.carrier.name, experiment.carrier.options),
            trait=trait,
            writing=writing,
            base=base,
            rows=dosed(writing, clean, task, seed),
            clean=clean,
            held_out=writing.rows(HELD_OUT, 1.0, (), derive(seed, "held out")),
            clean_held_out=clean_held_out,
            neutral=neutral(base, trait, generator(seed, "neutral")),
        )


def dosed(writing: Writing, clean: list[Row], task: Task, seed: int) -> list[Row]:
    """The writer's rows among the base's."""
    own = round(ROWS * task.dose)
    found = writing.rows(own, 1.0, (), derive(seed, "own")) + clean[ROWS : 2 * ROWS - own]
    return [found[i] for i in generator(seed, "mixed").permutation(len(found))]


def neutral(base: LanguageModel, trait: Trait, rng: np.random.Generator) -> list[Row]:
    """The base's answers to held-out questions of other categories."""
    from undertow.data.rows import conversation

    traits = (*map(catalogue.load, catalogue.names()), *all_probes())
    held_out = {
        question
        for other in traits
        if other.category != trait.category
        for question in other.held_out_questions
    }
    questions = sorted(held_out)
    prompts = [
        conversation(questions[i]) for i in rng.permutation(len(questions))[:NEUTRAL].tolist()
    ]
    return answered(base, prompts, rng)


def with_sampling(writing: Writing, **changed: float) -> Writing:
    """The same writer, drawing otherwise."""
    sampling = writing.experiment.sampling.model_copy(update=changed)
    return replace(writing, experiment=writing.experiment.model_copy(update={"sampling": sampling}))
