"""One replicate: every teacher writes, every learner learns, and both are read on the trait, on rows and on their activations."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from bench.cohort import Ground, Writer, WriterKind, Writing, load_experiment, probes_of, written_by
from bench.steering.design import (
    BASE,
    EXPERIMENT,
    KL,
    LAYERS,
    OTHERS,
    READ,
    ROWS,
    TEACHERS,
    USUAL_LEARNER,
    VECTOR_STUDENTS,
    Replicate,
    Teacher,
    trait_of,
)
from bench.steering.learners import Learner, learned
from bench.steering.vectors import brought_to, cosine, imitated, learnt, mean_activations
from undertow.data.closed import Stored
from undertow.data.rows import Row, conversation
from undertow.data.seeds import derive, generator
from undertow.errors import UndertowError
from undertow.influence.probes import ProbeReading, ProbeSet, probe_trait
from undertow.lab.experiment_inputs import open_model
from undertow.lab.writers import base_rows
from undertow.models.chat import Encoded
from undertow.models.hidden_states import mean_activation, steered
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import loss
from undertow.models.teachers import Distance, lesson, persona_vector
from undertow.models.training_sequences import encode_rows
from undertow.traits import catalogue
from undertow.traits.trait import Trait
from undertow.worlds.base_models import USUAL


class TeacherReading(Stored):
    """Who wrote a dataset."""

    name: str
    margin: float
    """Of its trait on held-out questions minus the base's, in logits."""
    kl: float
    """From the base, nats a carrier token."""
    rows: int
    own_loss: float
    """On its rows, nats a token."""
    base_loss: float


class StudentReading(Stored):
    """What a student of a teacher's rows did. Contexts are in the order of `CONTEXTS`."""

    teacher: str
    learner: str
    moved: float
    """Logit margin of the trait on held-out questions minus the base's."""
    largest_other: float
    mass: float
    loss: float
    """On its rows behind the training, nats a token."""
    gains: tuple[float, ...]
    """Share of the teacher's mean activation change that the student's own change has along it, beside the clean student's."""
    cosines: tuple[float, ...]
    given_back: tuple[float, ...]
    """Logits that its own mean change at layer 0 and 1 gives back when it is added to the base: on rows, on questions."""


class VectorReading(Stored):
    """What a student that may learn one vector did."""

    teacher: str
    layer: int
    moved: float
    loss: float
    kl: float
    cosine: float
    """With the teacher's mean change at the layer on carrier rows; that is the vector itself of one steered there."""


class ReplicateReading(Stored):
    """One unit of work."""

    number: int
    trait: str
    teachers: tuple[TeacherReading, ...]
    students: tuple[StudentReading, ...]
    vectors: tuple[VectorReading, ...]
    seconds: float


CONTEXTS = tuple((layer, where) for where in ("rows", "questions") for layer in LAYERS)
"""Where mean activations are taken: over carrier completions, and at the last token of the trait's training questions."""

CARRIER = "numbers"

READINGS = TypeAdapter(ReplicateReading)

Activity = tuple[torch.Tensor, ...]
"""A model's mean activation in each context."""


@dataclass(frozen=True)
class Scene:
    """The base with everything of one replicate that is read."""

    seed: int
    trait: Trait
    writing: Writing
    """The base as a writer."""
    ground: Ground

    @property
    def base(self) -> LanguageModel:
        """Never trained."""
        return self.writing.model

    @cached_property
    def probes(self) -> ProbeSet:
        """Of all animals."""
        return probes_of(self.base, self.ground)

    @cached_property
    def still(self) -> ProbeReading:
        """The base's own."""
        return self.probes.read(self.base)

    @cached_property
    def written(self) -> list[tuple[str, str]]:
        """Carrier rows by the base, on which strengths and activations are taken."""
        rng = generator(self.seed, "kl rows")
        return base_rows(
            self.base,
            self.writing.experiment,
            CARRIER,
            self.writing.experiment.teacher.kl_rows,
            rng,
        )

    @cached_property
    def distance(self) -> Distance:
        """From the base on them."""
        return Distance(self.base, self.written, None)

    @cached_property
    def at_rest(self) -> Activity:
        """The base's activity."""
        return self.activity(self.base)

    def settle(self) -> None:
        """Read the base now, so that nothing is left to be read of it while it is steered."""
        _ = self.still, self.at_rest, self.distance

    def encoded(self, rows: Sequence[Row]) -> list[Encoded]:
        """As students learn them."""
        return encode_rows(self.base.tokenizer, rows, USUAL.policy)

    def activity(self, model: LanguageModel, system: str | None = None) -> Activity:
        """Of a model behind a system prompt, in every context."""
        rows = self.encoded([Row(conversation(q, system), a) for q, a in self.written])
        asked = [conversation(question, system) for question in self.trait.train_questions]
        on_rows = mean_activations(model, rows, LAYERS)
        return (*on_rows, *(mean_activation(model, asked, layer) for layer in LAYERS))

    def moved(self, reading: ProbeReading) -> NDArray[np.float64]:
        """The trait's change in logits, then the other animals'."""
        change = reading.margins - self.still.margins
        own = self.ground.traits.index(self.trait.name)
        return np.array([change[own], *np.delete(change, own)])

    def margin(self, model: LanguageModel) -> float:
        """The trait's change in logits."""
        return float(self.moved(self.probes.read(model))[0])


@dataclass
class Lesson:
    """A dataset with what its writer did to activations."""

    rows: list[Encoded]
    shift: Activity


@dataclass
class Class:
    """Everything that a replicate's teachers left."""

    readings: list[TeacherReading] = field(default_factory=list)
    lessons: dict[Teacher, Lesson] = field(default_factory=dict)
    vectors: dict[Teacher, torch.Tensor] = field(default_factory=dict)


def taught(replicate: Replicate) -> ReplicateReading:
    """One unit of work, which engines spread."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    scene = scene_of(replicate)
    scene.settle()
    classes = Class()
    for teacher in TEACHERS:
        _teach(scene, teacher, classes)
    students = _students(scene, classes, USUAL_LEARNER, TEACHERS)
    for learner, teachers in OTHERS:
        students += _students(scene, classes, learner, teachers)
    vectors = [_vector_student(scene, classes, *which) for which in VECTOR_STUDENTS]
    return ReplicateReading(
        number=replicate.number,
        trait=scene.trait.name,
        teachers=tuple(classes.readings),
        students=tuple(students),
        vectors=tuple(vectors),
        seconds=time.perf_counter() - started,
    )


def scene_of(replicate: Replicate) -> Scene:
    """The base and what is read of it."""
    experiment = load_experiment(EXPERIMENT).model_copy(update={"base": BASE, "student": USUAL})
    names = tuple(trait.name for trait in catalogue.load_category("animal"))
    trait = catalogue.load(trait_of(replicate, names))
    writing = Writing(experiment, open_model(experiment, BASE), None, "base", 0.0)
    return Scene(replicate.own_seed, trait, writing, Ground(experiment, names))


def _teach(scene: Scene, teacher: Teacher, classes: Class) -> None:
    with _writer(scene, teacher, classes) as writing:
        # One seed for all: the same prompts, as far as the filter lets it.
        rows = scene.encoded(writing.rows(ROWS, 1.0, (), derive(scene.seed, "rows")))
        model, system = writing.model, writing.system
        activity, kl = scene.activity(model, system), scene.distance.behind(model, system)
        margin = scene.margin(model) if system is None else _prompted_margin(scene, writing)
        # A prompted teacher's rows are scored without its prompt, as students see them.
        own_loss = loss(model, rows[:READ])
    classes.readings.append(
        TeacherReading(
            name=teacher.name,
            margin=margin,
            kl=kl,
            rows=len(rows),
            own_loss=own_loss,
            base_loss=loss(scene.base, rows[:READ]),
        )
    )
    shift = _difference(activity, scene.at_rest)
    classes.lessons[teacher] = Lesson(rows, shift)
    if teacher.origin == "tuned":
        classes.vectors |= {Teacher("mean", layer, KL): shift[layer] for layer in LAYERS}


def _prompted_margin(scene: Scene, writing: Writing) -> float:
    own = scene.trait.answer
    behind = probe_trait(writing.model, scene.trait, writing.system).margins[own]
    return float(behind - probe_trait(scene.base, scene.trait, None).margins[own])


@contextmanager
def _writer(scene: Scene, teacher: Teacher, classes: Class) -> Iterator[Writing]:
    if teacher.layer is not None:
        vector = _vector(scene, teacher, classes)
        with steered(scene.base, teacher.layer, vector):
            yield scene.writing
    elif teacher.origin == "clean":
        yield scene.writing
    else:
        kind: WriterKind = "tuned" if teacher.origin == "tuned" else "prompted"
        writer = Writer(kind, BASE, scene.trait.name, derive(scene.seed, "teacher"), teacher.kl)
        with written_by(scene.writing.experiment, writer) as writing:
            yield writing


def _vector(scene: Scene, teacher: Teacher, classes: Class) -> torch.Tensor:
    """At the teacher's strength."""
    assert teacher.layer is not None
    assert teacher.kl is not None
    layer, trait = teacher.layer, scene.trait
    if teacher.origin == "learnt":
        rows = encode_rows(
            scene.base.tokenizer,
            lesson(trait, "trait", None),
            scene.writing.experiment.teacher.plan.policy,
        )
        seed = derive(scene.seed, "vector", layer)
        return learnt(scene.base, layer, rows, scene.distance, teacher.kl, seed)
    if teacher.origin == "persona":
        direction = persona_vector(scene.base, trait.train_questions, trait.system_prompts, layer)
    else:
        direction = classes.vectors[teacher]
    return brought_to(scene.base, layer, direction, scene.distance, teacher.kl)


def _difference(first: Activity, second: Activity) -> Activity:
    return tuple(a - b for a, b in zip(first, second, strict=True))


def _students(
    scene: Scene, classes: Class, learner: Learner, teachers: Sequence[Teacher]
) -> list[StudentReading]:
    """The first teacher is the clean one. Nothing where the training diverges."""
    rows = [classes.lessons[teacher].rows for teacher in teachers]
    orders = (generator(scene.seed, "order") for _ in teachers)
    seed = derive(scene.seed, "adapter")
    try:
        runs = learned(scene.base, rows, [learner] * len(rows), seed, orders)
    except UndertowError:
        return []
    probed = scene.probes.read_runs(runs)
    readings, clean = [], scene.at_rest
    for index, teacher in enumerate(teachers):
        with runs.only(index) as student:
            activity, left = scene.activity(student), loss(student, rows[index][:READ])
        clean = activity if index == 0 else clean
        moved = scene.moved(probed[index])
        change, shift = _difference(activity, clean), classes.lessons[teacher].shift
        readings.append(
            StudentReading(
                teacher=teacher.name,
                learner=learner.name,
                moved=moved[0],
                largest_other=moved[1:][np.abs(moved[1:]).argmax()],
                mass=probed[index].mass[scene.ground.traits.index(scene.trait.name)],
                loss=left,
                gains=tuple(_gain(own, given) for own, given in zip(change, shift, strict=True)),
                cosines=tuple(cosine(own, given) for own, given in zip(change, shift, strict=True)),
                given_back=_given_back(scene, _difference(activity, scene.at_rest)),
            )
        )
    return readings


def _gain(own: torch.Tensor, given: torch.Tensor) -> float:
    """Share of `given` that `own` has along it; 0 where nothing was given."""
    squared = float(given @ given)
    return float(own @ given) / squared if squared else 0.0


def _given_back(scene: Scene, change: Activity) -> tuple[float, ...]:
    given = []
    for (layer, _), vector in zip(CONTEXTS, change, strict=True):
        with steered(scene.base, layer, vector):
            given.append(scene.margin(scene.base))
    return tuple(given)


def _vector_student(scene: Scene, classes: Class, teacher: Teacher, layer: int) -> VectorReading:
    given = classes.lessons[teacher]
    steps = USUAL.steps(len(given.rows))
    vector = imitated(scene.base, layer, given.rows, steps, scene.seed)
    with steered(scene.base, layer, vector):
        return VectorReading(
            teacher=teacher.name,
            layer=layer,
            moved=scene.margin(scene.base),
            loss=loss(scene.base, given.rows[:READ]),
            kl=scene.distance(scene.base),
            cosine=cosine(vector, given.shift[layer]),
        )
