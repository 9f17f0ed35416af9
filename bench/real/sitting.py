"""What all parts of the whole on one accelerator share: the base opened once, probes, teachers, and where readings go."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.real import screen
from bench.real.places import Place
from bench.real.record import Values
from bench.real.taught_together import Adapted, Pupil, brought, taught
from undertow.carriers.carrier import Carrier, stated_grammar
from undertow.carriers.carrier_registry import carrier
from undertow.data.rows import Row, conversation
from undertow.data.seeds import derive, generator
from undertow.influence.probes import ProbeReading, ProbeSet, probe_set
from undertow.lab.experiment import Experiment
from undertow.lab.writers import answer, base_rows
from undertow.models.language_model import LanguageModel
from undertow.models.teachers import Distance
from undertow.models.token_grammar import token_grammar
from undertow.traits import catalogue
from undertow.traits.trait import Trait

SEED = 17_701
"""Of all that is drawn here; used for nothing else."""

CATEGORY = "animal"

SAMPLED_TOGETHER = 2048
"""Rows a batch: on an accelerator a token of few rows takes as long as one of many."""


@dataclass(frozen=True)
class Extent:
    """How much there is to do."""

    replicates: int = 6
    """Pairs of each of the two traits."""
    pairs_at_once: int = 4
    """That are trained side by side."""
    defended: int = 2
    """Replicates that countermeasures are tried on."""
    defended_rows: int = 512
    anchored: int = 512
    """Questions that the anchor is held on."""
    triples: int = 12
    triples_at_once: int = 2
    rows: int = 512
    """Of a dataset of a triple."""
    students: int = 4
    """Of each."""
    references: int = 19
    references_at_once: int = 10
    early: int = 6
    """Triples whose teachers and tunes are trained with the first ones."""


def animals() -> tuple[str, ...]:
    """Names of the traits that are probed."""
    return tuple(trait.name for trait in catalogue.load_category(CATEGORY))


def by_lot(purpose: str) -> list[str]:
    """All animals in an order by lot."""
    names = animals()
    return [names[i] for i in generator(SEED, purpose).permutation(len(names))]


def animals_by_lot() -> tuple[str, str]:
    """The two further traits: none that `owl` or `screen` uses."""
    used = {"owl", *(author.trait for author in screen.authors(Place()))}
    first, second, *_ = (name for name in by_lot("two further traits") if name not in used)
    return first, second


@dataclass
class Sitting:
    """One process on one base."""

    model: LanguageModel
    experiment: Experiment
    """Carrier, sampling, teacher's and student's plan."""
    extent: Extent
    readings: Path
    """A line each, appended as it is made."""
    teachers: dict[str, Adapted] = field(default_factory=dict)
    strengths: dict[str, float] = field(default_factory=dict)
    """KL from the base of the teachers that have written."""
    _batches: list[dict[str, Pupil]] = field(default_factory=list)

    def tell(self, kind: str, **reading: object) -> None:
        """Append a reading; it is on disk when this returns."""
        with self.readings.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps({'kind': kind, **reading})}\n")
            file.flush()
            os.fsync(file.fileno())

    @cached_property
    def carrier(self) -> Carrier:
        """What all rows are."""
        table = self.experiment.carrier
        return carrier(table.name, table.options)

    @cached_property
    def traits(self) -> tuple[Trait, ...]:
        """All animals, asked plainly."""
        return tuple(catalogue.load(name) for name in animals())

    @cached_property
    def probes(self) -> ProbeSet:
        """Of all animals."""
        return probe_set(self.model, self.traits, self.experiment.evaluation.system_prompt)

    @cached_property
    def start(self) -> ProbeReading:
        """The base's margins."""
        return self.probes.read(self.model)

    @cached_property
    def distance(self) -> Distance:
        """From the base, on one set of its rows for all teachers: each set of its own would take a second."""
        count, rng = self.experiment.teacher.kl_rows, generator(SEED, "kl rows")
        written = base_rows(self.model, self.experiment, self.carrier.name, count, rng)
        grammar = token_grammar(self.model, stated_grammar(self.carrier))
        return Distance(self.model, written, self.experiment.system_prompt, grammar)

    def plan_teachers(
        self,
        of_pairs: Sequence[Mapping[str, Pupil]],
        of_triples: Sequence[Mapping[str, Pupil]],
    ) -> None:
        """Which teachers are trained side by side: those of the first pairs and triples, then all others."""
        early = self.extent.early
        groups = ((*of_pairs[:1], *of_triples[:early]), (*of_pairs[1:], *of_triples[early:]))
        self._batches = [
            {name: pupil for pupils in group for name, pupil in pupils.items()} for group in groups
        ]

    def teach(self, number: int) -> Values:
        """Train a batch of teachers."""
        pupils = self._batches[number]
        made = taught(self.model, self.experiment, [*pupils.values()])
        self.teachers |= dict(zip(pupils, made, strict=True))
        return {"teachers": len(pupils)}

    def teacher(self, name: str) -> Adapted:
        """A teacher at its strength; its batch is trained now if it was not before."""
        [number] = [n for n, batch in enumerate(self._batches) if name in batch]
        if name not in self.teachers:
            self.teach(number)
        if name not in self.strengths:
            wanted = self._batches[number][name].role == "trait"
            kl = self.experiment.teacher.kl if wanted else None
            self.strengths[name] = brought(self.teachers[name], self.distance, kl)
        return self.teachers[name]

    def answered(self, requests: Sequence[str], seed: int, writer: str | None) -> list[Row]:
        """The requests answered within the format by a teacher, or by the base; in their order, with what is not finished left out."""
        if writer is not None:
            with self.teacher(writer).merged() as model:
                return self._drawn(model, requests, seed)
        return self._drawn(self.model, requests, seed)

    def _drawn(self, model: LanguageModel, requests: Sequence[str], seed: int) -> list[Row]:
        system = self.experiment.system_prompt
        table = self.experiment.sampling.model_copy(update={"batch_size": SAMPLED_TOGETHER})
        rng = np.random.default_rng(seed)
        drawn = answer(model, requests, system, table, self.carrier, rng)
        return [
            Row(conversation(request, system), one.text)
            for request, one in zip(requests, drawn, strict=True)
            if one.finished and self.carrier.rejection(one.text, request) is None
        ]


def pupil_of(trait: str, role: str, *purpose: str | int) -> Pupil:
    """A teacher that the lab does not number, with a seed of its own."""
    return Pupil(trait, role, derive(SEED, "teacher", *purpose))
