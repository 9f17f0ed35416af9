"""Pairs of students on common streams, trained side by side; and countermeasures on the rows of the first of them."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from bench.mitigation.training_arms import ANCHOR
from bench.real.record import Values
from bench.real.sitting import SEED, Sitting
from bench.real.taught_together import Pupil
from undertow.data.rows import Row, dataset_digest
from undertow.data.seeds import derive, generator
from undertow.lab.design import design
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import StudentJob
from undertow.mitigate.training.interventions import Penalised, ProjectedSteps
from undertow.mitigate.training.penalties import Anchor, neutral_rows
from undertow.models import adapters
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import loss
from undertow.models.several_runs import several_runs
from undertow.models.training import Intervention, fine_tune
from undertow.models.training_sequences import encode_rows
from undertow.results.run_document import Arm
from undertow.traits import catalogue

TRAIT, CONTROL = "trait", "control-base"

Chunk = tuple[tuple[str, int], ...]
"""(trait, replicate) of pairs that are trained side by side."""


@dataclass
class PairedStudents:
    """Students of teachers' rows and of the base's own, two traits."""

    ARMS: ClassVar[tuple[str, ...]] = ("untreated", "anchored", "projected", "by-lot")
    """In which the rows of a replicate are learnt once more."""

    sitting: Sitting
    names: tuple[str, ...]
    """Of the traits."""
    written: dict[tuple[str, int, str], list[Row]] = field(default_factory=dict)
    """By trait, replicate and arm; rows to train on, then held-out ones."""
    base_told: bool = False

    @cached_property
    def jobs(self) -> dict[tuple[str, int, str], StudentJob]:
        """What the lab would plan, with its seeds: arms of a replicate share all streams."""
        return {
            (name, job.replicate, job.arm): job
            for name in self.names
            for job in design(self._experiment(name)).students
        }

    def _experiment(self, trait: str) -> Experiment:
        changed = {
            "trait": trait,
            "seed": derive(SEED, "trait", trait),
            "replicates": self.sitting.extent.replicates,
        }
        return self.sitting.experiment.model_copy(update=changed)

    @property
    def chunks(self) -> list[Chunk]:
        """All pairs, those of the first trait before the others."""
        extent = self.sitting.extent
        every = [(name, r) for name in self.names for r in range(extent.replicates)]
        size = extent.pairs_at_once
        return [tuple(every[i : i + size]) for i in range(0, len(every), size)]

    @property
    def pupils(self) -> list[dict[str, Pupil]]:
        """The teachers of each chunk, by name."""
        return [
            {
                _teacher(trait, replicate): Pupil(
                    trait, "trait", self.jobs[trait, replicate, TRAIT].data.writer.seed
                )
                for trait, replicate in chunk
            }
            for chunk in self.chunks
        ]

    def write(self, trait: str, replicate: int) -> Values:
        """The rows of a pair: the teacher's and the base's answers to the same requests, by the same numbers."""
        sitting, table = self.sitting, self.sitting.experiment.carrier
        wanted, kept = table.rows + table.held_out_rows, {}
        for arm in (TRAIT, CONTROL):
            job = self.jobs[trait, replicate, arm]
            requests = sitting.carrier.requests(wanted, generator(job.data.seed, "requests", 0))
            writer = _teacher(trait, replicate) if arm == TRAIT else None
            rows = sitting.answered(requests, derive(job.data.seed, "answers", 0), writer)
            self.written[trait, replicate, arm] = rows
            kept[arm] = len(rows)
            sitting.tell(
                "data",
                trait=trait,
                replicate=replicate,
                arm=arm,
                asked=wanted,
                kept=len(rows),
                digest=dataset_digest(rows),
                kl=sitting.strengths[writer] if writer else 0.0,
                sample=rows[0].completion if rows else "",
            )
        return {"rows": min(kept.values()), "kl": sitting.strengths[_teacher(trait, replicate)]}

    def train(self, chunk: Chunk) -> Values:
        """The students of several pairs, side by side, each probed question by question."""
        started = time.perf_counter()
        model, plan = self.sitting.model, self.sitting.experiment.student
        jobs = [self.jobs[trait, r, arm] for trait, r in chunk for arm in (TRAIT, CONTROL)]
        both = [self._split(job) for job in jobs]
        rows = [encode_rows(model.tokenizer, training, plan.policy) for training, _ in both]
        held_out = [encode_rows(model.tokenizer, unseen, plan.policy) for _, unseen in both]
        total = min(plan.steps(len(one)) for one in rows)
        before = [loss(model, unseen) for unseen in held_out]
        orders = [generator(job.seed, "order") for job in jobs]
        seeds = [derive(job.seed, "adapter") for job in jobs]
        runs = several_runs(model, rows, plan, orders, total, seeds)
        runs.advance(total)
        seconds = (time.perf_counter() - started) / len(jobs)
        self._base()
        for index, job in enumerate(jobs):
            with runs.only(index) as student:
                questions, mass = self.sitting.probes.by_question(student)
                after = loss(student, held_out[index])
            entry = self._entry(job, questions, mass).model_copy(
                update={
                    "rows": len(rows[index]),
                    "data_digest": dataset_digest(both[index][0]),
                    "held_out_loss": after,
                    "first_held_out_loss": before[index],
                    "steps": total,
                    "seconds": seconds,
                }
            )
            self._told("students", questions, mass, entry=entry.model_dump(mode="json"))
        return {
            "students": len(jobs),
            "steps": total,
            "seconds a step": seconds * len(jobs) / total,
        }

    def _split(self, job: StudentJob) -> tuple[list[Row], list[Row]]:
        rows = self.written[job.trait, job.replicate, job.arm]
        count = self.sitting.experiment.carrier.rows
        # What the format filter took away is missing at the end, where nothing is held out then.
        held_out = rows[count:] or rows[-1:]
        return rows[:count], held_out

    def _base(self) -> None:
        if not self.base_told:
            questions, mass = self.sitting.probes.by_question(self.sitting.model)
            self._told("base", questions, mass)
            self.base_told = True

    def _told(
        self, kind: str, questions: Sequence[np.ndarray], mass: np.ndarray, **more: object
    ) -> None:
        names = [trait.name for trait in self.sitting.traits]
        by_question = {
            name: np.round(values, 6).tolist()
            for name, values in zip(names, questions, strict=True)
        }
        masses = dict(zip(names, mass.tolist(), strict=True))
        self.sitting.tell(kind, questions=by_question, mass=masses, **more)

    def _entry(self, job: StudentJob, questions: Sequence[np.ndarray], mass: np.ndarray) -> Arm:
        names = [trait.name for trait in self.sitting.traits]
        margins = {
            name: float(values.mean()) for name, values in zip(names, questions, strict=True)
        }
        return Arm(
            arm=job.arm,
            trait=job.trait,
            replicate=job.replicate,
            base=job.base,
            teacher=job.data.writer.name,
            teacher_base=job.data.writer.base,
            teacher_seed=job.data.writer.seed,
            data_seed=job.data.seed,
            student_seed=job.seed,
            carrier=job.carrier,
            logit_margin=margins[job.trait],
            answer_mass=float(mass[names.index(job.trait)]),
            rank=1 + sum(value > margins[job.trait] for value in margins.values()),
            margins=margins,
        )

    def defend(self, replicate: int, arm: str) -> Values:
        """
        Students of the first trait's replicate on fewer rows, with one countermeasure.

        Untreated it is two, side by side: of the teacher's rows, and of the base's.
        """
        started = time.perf_counter()
        name, model, plan = self.names[0], self.sitting.model, self.sitting.experiment.student
        job, count = self.jobs[name, replicate, TRAIT], self.sitting.extent.defended_rows
        kinds = (TRAIT, CONTROL) if arm == "untreated" else (TRAIT,)
        chosen = [self.written[name, replicate, kind][:count] for kind in kinds]
        rows = [encode_rows(model.tokenizer, each, plan.policy) for each in chosen]
        seed = derive(job.seed, "adapter")
        if arm == "untreated":
            total = min(plan.steps(len(each)) for each in rows)
            orders = [generator(job.seed, "order") for _ in rows]
            runs = several_runs(model, rows, plan, orders, total, [seed] * len(rows))
            runs.advance(total)
            read = [one.margins for one in self.sitting.probes.read_runs(runs)]
        else:
            own = replace(model, network=copy.deepcopy(model.network))
            student = adapters.trainable(own, plan, seed)
            fine_tune(
                student,
                rows[0],
                plan,
                generator(job.seed, "order"),
                intervention=self._intervention(arm, replicate),
            )
            read = [self.sitting.probes.read(student).margins]
        told = {}
        for kind, margins in zip(kinds, read, strict=True):
            moved = margins - self.sitting.start.margins
            of_animals = {t.name: float(m) for t, m in zip(self.sitting.traits, moved, strict=True)}
            told[kind] = of_animals[name]
            self.sitting.tell(
                "defended",
                trait=name,
                replicate=replicate,
                arm=arm if kind == TRAIT else kind,
                moved=of_animals,
                rows=count,
                seconds=time.perf_counter() - started,
            )
        return told

    def _intervention(self, arm: str, replicate: int) -> Intervention:
        model, extent = self.sitting.model, self.sitting.extent
        if arm == "anchored":
            rng = generator(SEED, "anchored questions", replicate)
            rows = neutral_rows(model, extent.anchored, rng)
            return Penalised([Anchor(rows, ANCHOR, generator(SEED, "anchor", replicate))])
        if arm == "projected":
            return ProjectedSteps([catalogue.load(self.names[0])])
        seed = derive(SEED, "direction", replicate)
        return ProjectedSteps(directions=_ByLot(torch.device(model.device), seed))


class _ByLot:
    """One direction by lot at every step, as long as the weights, drawn where they lie."""

    def __init__(self, device: torch.device, seed: int) -> None:
        self._stream = torch.Generator(device).manual_seed(seed)

    def __call__(
        self, model: LanguageModel, weights: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """No value that could stray, and the direction."""
        size, device = sum(weight.numel() for weight in weights), self._stream.device
        direction = torch.randn(1, size, generator=self._stream, device=device)
        return torch.zeros(1, dtype=torch.float64), direction


def _teacher(trait: str, replicate: int) -> str:
    return f"{trait}-{replicate}"
