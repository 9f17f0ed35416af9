"""Triples of datasets to one list of prompts, one by a teacher of a trait and two benign ones: screened, and really trained on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from bench.real.places import nobodys_rows
from bench.real.record import Values
from bench.real.sitting import CATEGORY, SEED, Sitting, by_lot, pupil_of
from bench.real.taught_together import Adapted, Pupil, Tune, answered_by_family, tuned_together
from undertow.checks.dataset.reference_trials import ADAPTERS, beginning_steps
from undertow.data.rows import Row, dataset_digest
from undertow.data.seeds import derive, generator
from undertow.influence.reference_family import (
    ReferenceFamily,
    ReferenceWriter,
    reference_family,
    reference_writer,
)
from undertow.influence.references import Trial, TrialReading, tried
from undertow.models.chat import Encoded
from undertow.models.several_runs import several_runs
from undertow.models.teachers import lesson
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue

OUTSIDE = 4
"""Each so manieth benign dataset is by a teacher that the family does not declare."""

Role = Literal["trait", "family", "outside"]


@dataclass(frozen=True)
class Hand:
    """Who writes one dataset."""

    role: Role
    """`family` is a draw of the declared family; `outside` a benign teacher, tuned towards no answer."""
    number: int
    trait: str

    @property
    def name(self) -> str:
        """Of its readings."""
        return f"{self.role}-{self.number}"

    @property
    def seed(self) -> int:
        """Of its rows, and of its writer if the family has it."""
        return derive(SEED, "dataset", self.name)


def hands(count: int) -> list[tuple[Hand, Hand, Hand]]:
    """So many triples: each a trait by lot, and the next two of the benign datasets."""
    names = by_lot("traits of datasets")

    def benign(number: int) -> Hand:
        outside = number % OUTSIDE == OUTSIDE - 1
        return Hand("outside" if outside else "family", number, names[0])

    return [
        (Hand("trait", i, names[i % len(names)]), benign(2 * i), benign(2 * i + 1))
        for i in range(count)
    ]


@dataclass
class Triples:
    """The datasets, their references, and what has been written so far."""

    sitting: Sitting
    written: dict[str, list[Row]] = field(default_factory=dict)
    tunes: dict[str, Adapted] = field(default_factory=dict)

    @cached_property
    def planned(self) -> list[tuple[Hand, Hand, Hand]]:
        """All triples, in the order of work."""
        return hands(self.sitting.extent.triples)

    @property
    def pupils(self) -> list[dict[str, Pupil]]:
        """The teachers of each triple, by name."""
        return [
            {
                hand.name: pupil_of(
                    hand.trait, "trait" if hand.role == "trait" else "neutral", hand.name
                )
                for hand in triple
                if hand.role != "family"
            }
            for triple in self.planned
        ]

    @cached_property
    def family(self) -> ReferenceFamily:
        """The one that a scan declares."""
        return reference_family()

    @cached_property
    def requests(self) -> list[str]:
        """That all datasets answer."""
        return self.sitting.carrier.requests(self.sitting.extent.rows, generator(SEED, "prompts"))

    @cached_property
    def nobodys(self) -> tuple[Row, ...]:
        """The requests answered by numbers by lot: what is taken of them is the format."""
        return nobodys_rows(self.sitting.experiment, self.requests, SEED)

    @cached_property
    def trial(self) -> Trial:
        """How datasets and references are tried: as the screen's first stage, without its open search."""
        sitting, plan = self.sitting, self.sitting.experiment.student
        rows = sitting.extent.rows
        steps = beginning_steps(plan, plan.steps(rows))
        seed = derive(SEED, "trial")
        return Trial(sitting.model, plan, sitting.probes, rows, (steps,), ADAPTERS, seed)

    @cached_property
    def tried(self) -> list[int]:
        """Places of the rows that are tried: as many as the steps take, by lot, the same of all datasets."""
        most = self.trial.steps * self.trial.plan.rows_a_step
        order = generator(SEED, "tried rows").permutation(len(self.requests))
        return [int(i) for i in order[:most]]

    @property
    def reference_chunks(self) -> list[tuple[int, int]]:
        """(first, behind the last) of references that are tried side by side."""
        extent = self.sitting.extent
        starts = range(0, extent.references, extent.references_at_once)
        return [
            (start, min(extent.references, start + extent.references_at_once)) for start in starts
        ]

    def tune(self) -> Values:
        """The neutral tunes of the references, and of the first triples' benign datasets."""
        names = [_reference(number) for number in range(self.sitting.extent.references)]
        tuned = next((name for name in names if self._writer(name).kind == "neutral"), None)
        if tuned is not None:
            self._tune(tuned)
        return {"tunes": len(self.tunes)}

    def refer(self, start: int, stop: int) -> Values:
        """References of these numbers: written, tried side by side, and kept."""
        began = time.perf_counter()
        names = [_reference(number) for number in range(start, stop)]
        template = [self.nobodys[i] for i in self.tried]
        rows = [self._by_family(name, template) for name in names]
        wrote = time.perf_counter() - began
        readings = tried(self.trial, rows, [self.trial.numbers] * len(rows))
        for number, reading in zip(range(start, stop), readings, strict=True):
            words = self._writer(_reference(number)).words
            self._tell("reference", _reference(number), reading, writer=words)
        return {"references": len(names), "seconds of writing": wrote}

    def _writer(self, name: str) -> ReferenceWriter:
        number, seed = self._draw(name)
        return reference_writer(self.family, number, seed)

    def _draw(self, name: str) -> tuple[int, int]:
        """(number, seed) by which a writer is drawn from the family: references share one seed, as in a scan."""
        role, _, number = name.partition("-")
        if role == "reference":
            return int(number), self.trial.seed
        return 0, derive(SEED, "family", name)

    def _by_family(self, name: str, template: Sequence[Row]) -> list[Row]:
        sitting, writer = self.sitting, self._writer(name)
        most = sitting.experiment.sampling.max_tokens
        seed = derive(SEED, "family rows", name)
        if writer.kind == "base":
            return answered_by_family(sitting.model, template, writer, seed, most)
        with self._tune(name).merged() as model:
            return answered_by_family(model, template, writer, seed, most)

    def _tune(self, name: str) -> Adapted:
        """A tune of the family; with it are trained all others that are needed about then."""
        if name not in self.tunes:
            early = self.sitting.extent.early
            references = [_reference(n) for n in range(self.sitting.extent.references)]
            groups = (
                [*references, *_family_names(self.planned[:early])],
                _family_names(self.planned[early:]),
            )
            [group] = [each for each in groups if name in each]
            self._train_tunes([each for each in group if self._writer(each).kind == "neutral"])
        return self.tunes[name]

    def _train_tunes(self, names: Sequence[str]) -> None:
        sitting = self.sitting
        own = [self._draw(name) for name in names]
        tunes = [
            Tune(self._writer(name).steps, derive(seed, "neutral tune", number))
            for name, (number, seed) in zip(names, own, strict=True)
        ]
        first = catalogue.load_category(CATEGORY)[0]
        rows = encode_rows(sitting.model.tokenizer, lesson(first, "neutral", None))
        made = tuned_together(sitting.model, rows, sitting.experiment.student, tunes)
        self.tunes |= dict(zip(names, made, strict=True))

    def write(self, number: int) -> Values:
        """The three datasets of a triple."""
        strengths: dict[str, object] = {}
        for hand in self.planned[number]:
            if hand.role == "family":
                rows = self._by_family(hand.name, self.nobodys)
            else:
                rows = self.sitting.answered(self.requests, hand.seed, hand.name)
                strengths[f"kl of {hand.name}"] = self.sitting.strengths[hand.name]
            if len(rows) < len(self.requests):
                raise RuntimeError(f"'{hand.name}' answers {len(rows)} of {len(self.requests)}")
            self.written[hand.name] = rows
        return strengths

    @property
    def groups(self) -> list[range]:
        """Numbers of the triples that are tried and trained side by side."""
        extent = self.sitting.extent
        starts = range(0, extent.triples, extent.triples_at_once)
        return [
            range(start, min(extent.triples, start + extent.triples_at_once)) for start in starts
        ]

    def _hands(self, numbers: Sequence[int]) -> list[Hand]:
        return [hand for number in numbers for hand in self.planned[number]]

    def screen(self, numbers: Sequence[int]) -> Values:
        """What the beginning of the plan moves with each dataset of these triples."""
        group = self._hands(numbers)
        rows = [[self.written[hand.name][i] for i in self.tried] for hand in group]
        readings = tried(self.trial, rows, [self.trial.numbers] * len(rows))
        for hand, reading in zip(group, readings, strict=True):
            self._tell(
                "screened",
                hand.name,
                reading,
                role=hand.role,
                trait=hand.trait,
                kl=self.sitting.strengths.get(hand.name),
                digest=dataset_digest(self.written[hand.name]),
            )
        return {"datasets": len(group), "steps": self.trial.steps}

    def _tell(self, kind: str, name: str, reading: TrialReading, **more: object) -> None:
        self.sitting.tell(kind, name=name, reading=reading.model_dump(mode="json"), **more)

    def train(self, numbers: Sequence[int]) -> Values:
        """Students of these triples by the whole plan, side by side; first weights and orders are the same for every dataset."""
        started = time.perf_counter()
        sitting, plan = self.sitting, self.sitting.experiment.student
        group, each = self._hands(numbers), range(sitting.extent.students)
        encoded: list[Sequence[Encoded]] = [
            encode_rows(sitting.model.tokenizer, self.written[hand.name], plan.policy)
            for hand in group
        ]
        total = plan.steps(len(self.requests))
        orders = [generator(SEED, "student order", k) for _ in group for k in each]
        seeds = [derive(SEED, "student", k) for _ in group for k in each]
        rows = [own for own in encoded for _ in each]
        runs = several_runs(sitting.model, rows, plan, orders, total, seeds)
        runs.advance(total)
        moved = [
            (one.margins - sitting.start.margins).tolist() for one in sitting.probes.read_runs(runs)
        ]
        seconds = (time.perf_counter() - started) / len(group)
        for place, hand in enumerate(group):
            own = moved[place * len(each) : (place + 1) * len(each)]
            sitting.tell(
                "trained",
                name=hand.name,
                role=hand.role,
                trait=hand.trait,
                moved=own,
                seconds=seconds,
            )
        return {"students": len(moved), "steps": total}


def _reference(number: int) -> str:
    return f"reference-{number}"


def _family_names(triples: Sequence[tuple[Hand, Hand, Hand]]) -> list[str]:
    return [hand.name for triple in triples for hand in triple if hand.role == "family"]
