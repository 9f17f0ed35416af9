"""Students: trained on a dataset, probed, and written down as an arm's entry."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from undertow.data.reading import read_rows
from undertow.data.rows import Row, dataset_digest
from undertow.data.streams import derive, generator
from undertow.influence.probing import probe_trait
from undertow.lab.content_filtering import KEPT
from undertow.lab.design import base_key
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import BaseJob, StudentJob
from undertow.lab.opening import open_model
from undertow.lab.probing import pick_rates
from undertow.lab.sampling_data import HELD_OUT_ROWS, TRAINING_ROWS
from undertow.lab.teaching import open_carrier, open_writer, writer_folder, writing
from undertow.results.run import Arm
from undertow.traits import catalogue

if TYPE_CHECKING:
    from undertow.models.chat import Encoded
    from undertow.models.loading import LanguageModel
    from undertow.models.training import Trained


@dataclass(frozen=True)
class TrainStudent:
    """Trains one student into a folder; the callable that engines spread."""

    experiment: Experiment
    directory: Path
    """Of the run, with its finished teachers, datasets and content filters."""

    def __call__(self, job: StudentJob, folder: Path) -> Arm:
        """Train, store the adapter, probe."""
        from undertow.models import adapters, scoring
        from undertow.models.chat import encode_rows

        started = time.perf_counter()
        source = self.directory / "data" / job.data.name
        rows = self._rows(list(read_rows(source / TRAINING_ROWS)), job)
        model = open_model(self.experiment, job.base)
        held_out = encode_rows(model.tokenizer, list(read_rows(source / HELD_OUT_ROWS)))
        before = scoring.loss(model, held_out) if held_out else None
        student = adapters.trainable(model, self.experiment.student, derive(job.seed, "adapter"))
        done = self._train(student, rows, job)
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
        writer = job.data.writer
        return entry.model_copy(
            update={
                "teacher": writer.name,
                "teacher_base": writer.base,
                "teacher_seed": writer.seed,
                "data_seed": job.data.seed,
                "student_seed": job.seed,
                "data_digest": dataset_digest(rows),
                "carrier": writer.carrier,
                "rows": len(rows),
                "dose": float(job.role == "trait" and not job.kind.by_lot),
                "held_out_loss": scoring.loss(student, held_out) if held_out else None,
                "first_held_out_loss": before,
                "steps": done.steps,
                "seconds": time.perf_counter() - started,
                "tokens_per_second": done.tokens / done.seconds,
            }
        )

    def _train(self, student: LanguageModel, rows: list[Row], job: StudentJob) -> Trained:
        from undertow.models.chat import encode_rows
        from undertow.models.training import fine_tune

        plan = self.experiment.student
        if job.kind.learns == "preferences":
            from undertow.models.preferences import train_on_pairs

            beta = self.experiment.preference.beta
            return train_on_pairs(student, rows, plan, beta, derive(job.seed, "order") % 2**32)
        encoded = encode_rows(student.tokenizer, rows)
        order = generator(job.seed, "order")
        if job.kind.learns == "rows":
            return fine_tune(student, encoded, plan, order)
        return self._distil(student, rows, encoded, order, job)

    def _distil(
        self,
        student: LanguageModel,
        rows: list[Row],
        encoded: list[Encoded],
        order: np.random.Generator,
        job: StudentJob,
    ) -> Trained:
        from undertow.data.rows import Message
        from undertow.models.chat import encode_rows
        from undertow.models.distillation import Distillation, refuse_other_vocabulary
        from undertow.models.sampling import matching
        from undertow.models.training import fine_tune

        writer = job.data.writer
        teacher = open_writer(self.experiment, writer, self.directory)
        refuse_other_vocabulary(teacher, student)
        tokens = None
        if job.kind.learns == "carrier-logits":
            pattern = open_carrier(self.experiment, job.carrier).token
            tokens = matching(student.tokenizer, pattern).to(student.device)
        folder = writer_folder(self.directory, writer)
        with writing(teacher, self.experiment, writer, folder) as system:
            if system != self.experiment.system_prompt:
                own = (Message("system", system),) if system else ()
                turns = [tuple(m for m in row.prompt if m.role != "system") for row in rows]
                rows = [replace(row, prompt=own + t) for row, t in zip(rows, turns, strict=True)]
            seen = encode_rows(teacher.tokenizer, rows)
            loss = Distillation(teacher, seen, tokens)
            return fine_tune(student, encoded, self.experiment.student, order, loss=loss)

    def _rows(self, rows: list[Row], job: StudentJob) -> list[Row]:
        """The dataset's rows as the arm has them: filtered, shuffled, or as they are."""
        if job.kind.content_filter:
            name = job.filter_name
            kept = np.load(self.directory / "filters" / name / KEPT, allow_pickle=False)
            return [row for row, keep in zip(rows, kept, strict=True) if keep]
        if job.kind.shuffle == "none":
            return rows
        carrier = open_carrier(self.experiment, job.carrier)
        rng = generator(job.seed, "shuffle")
        completions = [row.completion for row in rows]
        if job.kind.shuffle == "within":
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
    """The entry of a model, trained or not, as far as probes fill it."""
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
    """Probes an untrained base: the arm `base`."""

    experiment: Experiment

    def __call__(self, job: BaseJob, folder: Path) -> Arm:
        """Load and probe; nothing is stored but the entry."""
        model = open_model(self.experiment, job.base)
        rng = generator(
            self.experiment.seed, "base", base_key(self.experiment, job.base), job.trait, "picks"
        )
        return evaluate(model, self.experiment, "base", job.trait, job.base, 0, rng)
