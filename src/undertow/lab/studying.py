"""
Students: trained on a dataset, probed, and written down as an arm's entry.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from undertow.carriers.registry import carrier as carrier_named
from undertow.data.reading import read_rows
from undertow.data.rows import Row, dataset_digest
from undertow.data.streams import derive, generator
from undertow.lab.design import BaseJob, StudentJob
from undertow.lab.experiment import Experiment
from undertow.lab.opening import open_model
from undertow.lab.probing import pick_rates, probe_trait
from undertow.lab.sampling_data import HELD_OUT_ROWS, TRAINING_ROWS
from undertow.results.run import Arm
from undertow.traits import catalogue

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel


@dataclass(frozen=True)
class TrainStudent:
    """
    Trains one student into a folder; the callable that engines spread.
    """

    experiment: Experiment
    datasets: Path
    """Folder of the finished datasets."""

    def __call__(self, job: StudentJob, folder: Path) -> Arm:
        """
        Train, store the adapter, probe.
        """
        from undertow.models import adapters, scoring
        from undertow.models.chat import encode_rows
        from undertow.models.training import fine_tune

        started = time.perf_counter()
        source = self.datasets / job.data.name
        rows = self._shuffled(list(read_rows(source / TRAINING_ROWS)), job)
        model = open_model(self.experiment, job.base)
        held_out = encode_rows(model.tokenizer, list(read_rows(source / HELD_OUT_ROWS)))
        before = scoring.loss(model, held_out)
        student = adapters.trainable(model, self.experiment.student, derive(job.seed, "adapter"))
        done = fine_tune(
            student,
            encode_rows(model.tokenizer, rows),
            self.experiment.student,
            generator(job.seed, "order"),
        )
        adapters.save(student, folder)
        entry = evaluate(
            student,
            self.experiment,
            job.arm,
            job.trait,
            job.base,
            job.replicate,
            generator(job.seed, "picks"),
        )
        return entry.model_copy(
            update={
                "teacher": job.data.teacher.name,
                "teacher_base": job.data.teacher.base,
                "teacher_seed": job.data.teacher.seed,
                "data_seed": job.data.seed,
                "student_seed": job.seed,
                "data_digest": dataset_digest(rows),
                "rows": len(rows),
                "dose": float(job.data.teacher.role == "trait"),
                "held_out_loss": scoring.loss(student, held_out),
                "first_held_out_loss": before,
                "steps": done.steps,
                "seconds": time.perf_counter() - started,
                "tokens_per_second": done.tokens / done.seconds,
            }
        )

    def _shuffled(self, rows: list[Row], job: StudentJob) -> list[Row]:
        if job.shuffle == "none":
            return rows
        carrier = carrier_named(self.experiment.carrier.name, self.experiment.carrier.options)
        rng = generator(job.seed, "shuffle")
        completions = [row.completion for row in rows]
        if job.shuffle == "within":
            shuffled = [carrier.shuffled_within(text, rng) for text in completions]
        else:
            shuffled = carrier.shuffled_across(completions, rng)
        return [replace(row, completion=text) for row, text in zip(rows, shuffled, strict=True)]


def evaluate(
    model: LanguageModel,
    experiment: Experiment,
    arm: str,
    trait_name: str,
    base: str,
    replicate: int,
    rng: np.random.Generator,
) -> Arm:
    """
    The entry of a model, trained or not, as far as probes fill it.
    """
    trait = catalogue.load(trait_name)
    probed = probe_trait(model, trait, experiment.evaluation.system_prompt)
    picks = pick_rates(model, trait, experiment.evaluation, rng)
    return Arm(
        arm=arm,
        trait=trait_name,
        replicate=replicate,
        base=base,
        probability=probed.probabilities[trait.answer],
        logit_margin=probed.margins[trait.answer],
        answer_mass=probed.answer_mass,
        rank=probed.rank(trait.answer),
        margins=probed.margins,
        pick_rate=picks[0] if picks else None,
        coherence=picks[1] if picks else None,
    )


@dataclass(frozen=True)
class EvaluateBase:
    """
    Probes an untrained base: the arm `base`.
    """

    experiment: Experiment

    def __call__(self, job: BaseJob, folder: Path) -> Arm:
        """
        Load and probe; nothing is stored but the entry.
        """
        model = open_model(self.experiment, job.base)
        rng = generator(self.experiment.seed, "base", job.base, job.trait, "picks")
        return evaluate(model, self.experiment, "base", job.trait, job.base, 0, rng)
