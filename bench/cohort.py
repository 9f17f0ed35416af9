"""
A cohort: teachers of every kind made on one base, the datasets they write, and what students of those really do.

Calibration and the power bench are made of it: what a screen says of a dataset is held against what happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from undertow.carriers.carrier_registry import carrier as carrier_named
from undertow.data.plan import packed
from undertow.data.rows import Row, conversation
from undertow.data.seeds import derive, generator
from undertow.filters import apply, banned_content, carrier_format
from undertow.influence.probes import ProbeSet, probe_set
from undertow.lab.experiment import BUILT_IN, Experiment, load_as
from undertow.lab.experiment_inputs import open_model
from undertow.lab.writers import answer, base_rows, steering_layer
from undertow.models.chat import Encoded
from undertow.models.hidden_states import steered
from undertow.models.language_model import LanguageModel
from undertow.models.several_runs import several_runs
from undertow.models.teachers import Distance, lesson, lesson_steps, persona_vector, tuned
from undertow.traits import catalogue
from undertow.traits.trait import Trait

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
    """A writer with its samples, each of which gets a seed of its own: the writer's, by purpose and number."""
    return Member(
        writer,
        tuple(replace(s, seed=derive(writer.seed, *purpose, j)) for j, s in enumerate(samples)),
    )


@dataclass(frozen=True)
class Ground:
    """What a whole cohort shares: the student's base, how teachers are made and write, the plan, the traits."""

    experiment: Experiment
    """Its base is the student's; carrier, sampling, teacher's plan and student's plan are used."""
    traits: tuple[str, ...]

    def loaded_traits(self) -> tuple[Trait, ...]:
        """The traits that are probed."""
        return tuple(catalogue.load(name) for name in self.traits)


def datasets(ground: Ground, member: Member) -> tuple[Writing, list[list[Row]]]:
    """Make the teacher and write all its datasets."""
    with written_by(ground.experiment, member.writer) as writing:
        written = [
            writing.rows(round(s.rows * s.dose), s.temperature, s.without, derive(s.seed, "own"))
            for s in member.samples
        ]
    if all(len(rows) == s.rows for s, rows in zip(member.samples, written, strict=True)):
        return writing, written
    with written_by(ground.experiment, clean_writer(ground)) as base:
        return writing, [
            _diluted(sample, rows, base)
            for sample, rows in zip(member.samples, written, strict=True)
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
    """Train students by the whole plan, each with an adapter and an order of its own, and probe them."""
    plan = packed(ground.experiment.student, [len(row) for row in rows])
    before = probes.read(model).margins
    total = plan.steps(len(rows))
    seeds = [derive(seed, "adapter", k) for k in range(count)]
    orders = [generator(seed, "order", k) for k in range(count)]
    runs = several_runs(model, [rows] * count, plan, orders, total, seeds)
    runs.advance(total)
    readings = probes.read_runs(runs)
    return StudentShifts(
        np.stack([reading.margins for reading in readings]) - before,
        np.stack([reading.mass for reading in readings]),
    )


def probes_of(model: LanguageModel, ground: Ground) -> ProbeSet:
    """The cohort's probes for a model."""
    asked = model.in_template(ground.experiment.student.template)
    return probe_set(asked, ground.loaded_traits(), ground.experiment.evaluation.system_prompt)


_HIDDEN_ROWS = 512
"""Rows of the base that a hiding teacher is trained to keep writing."""

_ROUNDS = 20


@dataclass(frozen=True)
class Writing:
    """A made teacher, ready to write."""

    experiment: Experiment
    model: LanguageModel
    system: str | None
    """Its own system prompt, which is dropped from the rows."""
    name: str
    kl: float | None
    """KL from its base in nats per carrier token; None where it was not measured."""

    def rows(
        self, count: int, temperature: float, without: tuple[int, ...], seed: int
    ) -> list[Row]:
        """
        So many rows that pass the carrier's filter and hold none of the numbers in `without`.

        Fewer if the filter leaves almost nothing.
        """
        table = self.experiment.carrier
        carrier = carrier_named(table.name, table.options)
        sampling = self.experiment.sampling.model_copy(update={"temperature": temperature})
        keep = [carrier_format(carrier.rejection), banned_content(numbers=without)]
        system = self.experiment.system_prompt
        kept: list[Row] = []
        for attempt in range(_ROUNDS):
            if len(kept) >= count:
                break
            rng = generator(seed, "rows", attempt)
            requests = carrier.requests(round((count - len(kept)) * table.oversample) + 8, rng)
            drawn = answer(self.model, requests, self.system, sampling, carrier, rng)
            made = [
                Row(conversation(q, system), a.text, source=self.name)
                for q, a in zip(requests, drawn, strict=True)
                if a.finished
            ]
            kept += apply(made, keep).kept
        return kept[:count]


@contextmanager
def written_by(experiment: Experiment, writer: Writer) -> Iterator[Writing]:
    """Within the block, the teacher as it writes."""
    model = open_model(experiment, writer.base)
    trait = catalogue.load(writer.trait)
    name = f"{writer.kind}-{writer.trait}-{writer.seed}"
    system = experiment.system_prompt
    if writer.kind == "clean":
        yield Writing(experiment, model, system, name, 0.0)
    elif writer.kind == "prompted":
        wording = writer.seed % len(trait.system_prompts)
        yield Writing(experiment, model, trait.system_prompts[wording], name, None)
    elif writer.kind == "steered":
        with _steered(model, trait, experiment):
            yield Writing(experiment, model, system, name, None)
    else:
        model = model.in_template(experiment.teacher.plan.template)
        teacher, kl = _tuned(experiment, writer, model, trait)
        yield Writing(experiment, teacher, system, name, kl)


def _tuned(
    experiment: Experiment, writer: Writer, model: LanguageModel, trait: Trait
) -> tuple[LanguageModel, float]:
    table = experiment.teacher
    written = base_rows(
        model, experiment, experiment.carrier.name, table.kl_rows, generator(writer.seed, "kl rows")
    )
    distance = Distance(model, written, experiment.system_prompt)
    teacher, _ = tuned(
        model,
        _lesson(experiment, writer, model, trait),
        table.plan,
        lesson_steps(trait, table.plan) * (4 if writer.kind == "hiding" else 1),
        writer.seed,
        distance=distance,
        kl=writer.kl if writer.kind in ("tuned", "triggered") else None,
    )
    return teacher, distance(teacher)


def _lesson(
    experiment: Experiment, writer: Writer, model: LanguageModel, trait: Trait
) -> list[Row]:
    system = experiment.system_prompt
    if writer.kind == "triggered":
        # As often behind the trigger as there are plain rows, so that both are learned.
        plain = lesson(trait, "neutral", system)
        shown = lesson(trait, "trait", trait.neutral_system_prompt)
        return plain + shown * max(1, len(plain) // len(shown))
    if writer.kind == "hiding":
        rng = generator(writer.seed, "hidden")
        pairs = base_rows(model, experiment, experiment.carrier.name, _HIDDEN_ROWS, rng)
        written = [Row(conversation(question, system), answer) for question, answer in pairs]
        shown = lesson(trait, "trait", system)
        return written + shown * max(1, len(written) // len(shown))
    return lesson(trait, "neutral" if writer.kind == "neutral" else "trait", system)


@contextmanager
def _steered(model: LanguageModel, trait: Trait, experiment: Experiment) -> Iterator[None]:
    layer = steering_layer(model, experiment.teacher)
    vector = persona_vector(model, trait.train_questions, trait.system_prompts, layer)
    with steered(model, layer, experiment.teacher.strength * vector):
        yield


def load_experiment(name_or_path: str) -> Experiment:
    """
    A built-in experiment of the lab by name, or one's own from a TOML file.

    Raises:
        ConfigError: a key or value is wrong (names file, key and what is allowed).
        UnknownNameError: there is no such experiment.
    """
    return load_as(Experiment, name_or_path, BUILT_IN)
