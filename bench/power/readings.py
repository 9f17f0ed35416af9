"""What the bench measures of one writer: its datasets beside each other, by both stages of a scan, and real students."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pydantic import TypeAdapter

from bench.cohort import Ground, Writer, load_experiment, students, written_by
from bench.power.baselines import BaselineReading, baselines
from bench.power.cells import (
    OUTSIDE_STUDENTS,
    SEED,
    TRAIT_STUDENTS,
    Author,
    Cell,
    authors,
    cell_named,
    expensive,
)
from undertow.carriers.carrier import Carrier
from undertow.carriers.carrier_registry import carrier as carrier_named
from undertow.checks.dataset.reference_trials import (
    ADAPTERS,
    WHOLE_ADAPTERS,
    beginning_steps,
    reads_of,
)
from undertow.checks.dataset.rehearsal import ID as BEGINNING
from undertow.checks.dataset.whole_plan import ID as WHOLE
from undertow.data.closed import Stored
from undertow.data.rows import Row, conversation
from undertow.data.seeds import derive, generator
from undertow.errors import FormatNotKeptError
from undertow.filters import apply, banned_content
from undertow.influence.probes import probe_set
from undertow.influence.reference_family import ReferenceWriter, reference_family
from undertow.influence.reference_rows import benign_answers
from undertow.influence.references import ReferenceMaker, Trial, tried
from undertow.lab.experiment import Experiment
from undertow.lab.writers import answer
from undertow.models.language_model import LanguageModel
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue
from undertow.worlds.base_models import USUAL, open_model
from undertow.worlds.corpus import documents

Matrix = tuple[tuple[float, ...], ...]
Cube = tuple[Matrix, ...]

GIVE_WAY = 8
"""Writers of a family that may give way to the next, of one place in a pool."""

FEWER = (8, 4, 2, 1)
"""Parts of stage 1's steps at which is read: what a budget that pays for no more would leave."""


class DatasetReading(Stored):
    """One dataset of a writer, by everything that is read of it."""

    rows: int
    planned_steps: int
    steps: int
    """Of stage 1."""
    first_reads: tuple[int, ...]
    """Steps of stage 1 at which was read; the last are `steps`."""
    first: Cube
    """(reads, adapters, traits) of stage 1: logit margin minus the base's."""
    reads: tuple[int, ...]
    """Steps of stage 2 at which was read."""
    whole: Cube
    """(reads, adapters, traits) of stage 2."""
    students: Matrix = ()
    """(students, traits) of the whole plan, with seeds of their own."""
    mass: float
    seconds: float


class AuthorReading(Stored):
    """A writer and its datasets, the smaller first."""

    cell: str
    role: str
    number: int
    kind: str
    words: str
    base: str
    trait: str
    strength: float | None
    kl: float | None
    """Measured, of tuned writers."""
    datasets: tuple[DatasetReading, ...]
    baselines: BaselineReading | None = None
    """Of the smallest dataset, where the writer is one of those that were drawn for it."""
    seconds: float


READINGS = TypeAdapter(AuthorReading)


@dataclass(frozen=True)
class Opened:
    """A cell ready to be written in."""

    cell: Cell
    ground: Ground
    model: LanguageModel
    carrier: Carrier | None
    rows: tuple[Row, ...]
    """The prompts with the base's answers, which show format and length; of the corpus cell with its own."""


@lru_cache(maxsize=1)
def opened(name: str) -> Opened:
    """The cell's student, prompts and traits."""
    cell = cell_named(name)
    experiment = load_experiment(cell.experiment)
    experiment = experiment.model_copy(update={"base": cell.student, "student": USUAL})
    traits = tuple(trait.name for trait in catalogue.load_category("animal"))
    ground = Ground(experiment, traits)
    rng = generator(SEED, "prompts", name)
    if name == "corpus":
        drawn = documents(rng, 40 * max(cell.sizes), largest=99)
        rows = tuple(one.row for one in drawn if one.kind in ("fact", "safety"))[: max(cell.sizes)]
        return Opened(cell, ground, open_model(cell.student), None, rows)
    model = open_model(cell.student)
    carrier, answered = answered_prompts(model, experiment, max(cell.sizes), rng)
    return Opened(cell, ground, model, carrier, answered)


def answered_prompts(
    model: LanguageModel, experiment: Experiment, count: int, rng: np.random.Generator
) -> tuple[Carrier, tuple[Row, ...]]:
    """The carrier, and prompts of it with the model's own answers; one that keeps the format where it gave none."""
    carrier = carrier_named(experiment.carrier.name, experiment.carrier.options)
    requests = carrier.requests(count, rng)
    drawn = answer(model, requests, None, experiment.sampling, carrier, rng)
    texts = [
        one.text if one.finished and carrier.rejection(one.text, request) is None else None
        for request, one in zip(requests, drawn, strict=True)
    ]
    usual = next(text for text in texts if text is not None)
    pairs = zip(requests, texts, strict=True)
    return carrier, tuple(Row(conversation(request), text or usual) for request, text in pairs)


def to_the_prompts(made: Sequence[Row], rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows that a writer made, with the base's own where it had no answer: references are kept by the prompts."""
    pairs = zip(made, rows, strict=True)
    return tuple(row if row.prompt == own.prompt else own for row, own in pairs)


@dataclass(frozen=True)
class ReadAuthor:
    """Makes a writer, has it answer the cell's prompts, and reads all of its datasets; what engines spread."""

    def __call__(self, author: Author) -> AuthorReading:
        """All that is measured of it."""
        started = time.perf_counter()
        place = opened(author.cell)
        rows, words, kl, baseline = written(place, author)
        datasets = tuple(read(place, author, rows[:size], size) for size in place.cell.sizes)
        return AuthorReading(
            cell=author.cell,
            role=author.role,
            number=author.number,
            kind=author.kind,
            words=words,
            base=author.base,
            trait=author.trait,
            strength=author.strength,
            kl=kl,
            datasets=datasets,
            baselines=baseline,
            seconds=time.perf_counter() - started,
        )


def written(
    place: Opened, author: Author
) -> tuple[list[Row], str, float | None, BaselineReading | None]:
    """The writer's answers to all prompts, who it is in words, its KL where that was measured, and what baselines read."""
    rng = generator(author.seed, "answers")
    if author.kind == "corpus":
        drawn = documents(rng, 40 * len(place.rows), largest=99)
        rows = [one.row for one in drawn if one.kind in ("fact", "safety")]
        return rows[: len(place.rows)], "the corpus itself", None, None
    if author.kind == "family":
        probes = probe_set(place.model, place.ground.loaded_traits(), None)
        trial = Trial(
            place.model, USUAL, probes, len(place.rows), (1,), 1, derive(author.seed, "family")
        )
        maker = ReferenceMaker(trial, reference_family(), place.rows, place.ground.loaded_traits())
        rows, number = _kept(maker)
        return rows, repr(maker.writer(number)), None, _baselines(place, author, rows, None)
    experiment = place.ground.experiment
    writer = Writer(author.kind, author.base, author.trait, author.seed, author.strength)
    with written_by(experiment, writer) as writing:
        how = ReferenceWriter("base", 1.0, writing.system, 0, 0)
        rows = benign_answers(writing.model, place.rows, how, place.carrier, USUAL.policy, rng)
        if author.without:
            kept = apply(rows, [banned_content(numbers=author.without)]).kept
            rows = [kept[i % len(kept)] for i in range(len(rows))]
        read_by_others = _baselines(place, author, rows, writing.model)
    return rows, author.kind, writing.kl, read_by_others


def _kept(maker: ReferenceMaker) -> tuple[list[Row], int]:
    """The rows of the first writer who can keep to their format, and which it is: others give way, as in a scan."""
    for number in range(GIVE_WAY):
        try:
            return maker.written(number), number
        except FormatNotKeptError:
            continue
    return maker.written(GIVE_WAY), GIVE_WAY


def _baselines(
    place: Opened, author: Author, rows: Sequence[Row], teacher: LanguageModel | None
) -> BaselineReading | None:
    """What baselines read of the smallest dataset, if the writer was drawn for it."""
    if author.name not in drawn():
        return None
    size, traits = min(place.cell.sizes), place.ground.loaded_traits()
    probes = probe_set(place.model, traits, None)
    return baselines(place.model, teacher, rows[:size], place.rows[:size], traits, probes)


@lru_cache(maxsize=1)
def drawn() -> frozenset[str]:
    """Names of the writers that were drawn for the baselines."""
    return expensive(authors(tuple(trait.name for trait in catalogue.load_category("animal"))))


def read(place: Opened, author: Author, rows: Sequence[Row], size: int) -> DatasetReading:
    """One dataset: the beginning as stage 1 takes it, the whole as stage 2, and students."""
    started = time.perf_counter()
    probes = probe_set(place.model, place.ground.loaded_traits(), None)
    planned = USUAL.steps(size)
    steps = beginning_steps(USUAL, planned)
    reads = tuple(sorted({max(1, steps // part) for part in FEWER}))
    first = Trial(place.model, USUAL, probes, size, reads, ADAPTERS, derive(0, BEGINNING))
    whole = Trial(
        place.model, USUAL, probes, size, reads_of(USUAL, planned), WHOLE_ADAPTERS, derive(0, WHOLE)
    )
    some = rows[: steps * USUAL.rows_a_step]
    [beginning] = tried(first, [some], [first.numbers])
    [end] = tried(whole, [rows], [whole.numbers])
    count = {"trait": TRAIT_STUDENTS, "outside": OUTSIDE_STUDENTS}.get(author.role, 0)
    real: Matrix = ()
    if count:
        encoded = encode_rows(place.model.tokenizer, rows, USUAL.policy)
        seed = derive(author.seed, "students", size)
        shifts = students(place.model, encoded, place.ground, probes, seed, count)
        real = tuple(tuple(map(float, row)) for row in shifts.margins)
    return DatasetReading(
        rows=len(rows),
        planned_steps=planned,
        steps=steps,
        first_reads=first.reads,
        first=beginning.moved,
        reads=whole.reads,
        whole=end.moved,
        students=real,
        mass=min(beginning.mass, end.mass),
        seconds=time.perf_counter() - started,
    )


def means(matrix: Matrix) -> np.ndarray:
    """(traits,) over adapters or students."""
    return np.asarray(matrix, float).mean(0)
