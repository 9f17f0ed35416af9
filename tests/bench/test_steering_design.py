"""The design of the bench of steering: clean students beside all others, vectors behind what they are made of, no tuned seed."""

from __future__ import annotations

import numpy as np

from bench.steering.answers import figures, moved, p_value, values
from bench.steering.design import (
    BEST,
    CLEAN,
    OTHERS,
    PERSONA,
    REPLICATES,
    SEED,
    STEERED,
    TEACHERS,
    TUNED,
    USUAL_LEARNER,
    VECTOR_STUDENTS,
    replicates,
    trait_of,
)
from bench.steering.taught import (
    CONTEXTS,
    ReplicateReading,
    StudentReading,
    TeacherReading,
    VectorReading,
)

TUNING = 91_000
NAMES = tuple(f"trait {i}" for i in range(16))


def reading(number: int, shift: float) -> ReplicateReading:
    """A replicate in which every clean student stands at 1 and every other at 1 + shift."""
    taught = [(USUAL_LEARNER, TEACHERS), *OTHERS]
    zeros = (0.0,) * len(CONTEXTS)
    return ReplicateReading(
        number=number,
        trait="owl",
        teachers=tuple(
            TeacherReading(name=t.name, margin=5, kl=0.3, rows=1, own_loss=3, base_loss=3)
            for t in TEACHERS
        ),
        students=tuple(
            StudentReading(
                teacher=teacher.name,
                learner=learner.name,
                moved=1 if teacher == CLEAN else 1 + shift + number / 100,
                largest_other=0,
                mass=1,
                loss=3,
                gains=zeros,
                cosines=zeros,
                given_back=zeros,
            )
            for learner, teachers in taught
            for teacher in teachers
        ),
        vectors=tuple(
            VectorReading(teacher=t.name, layer=layer, moved=1, loss=3, kl=0.1, cosine=0)
            for t, layer in VECTOR_STUDENTS
        ),
        seconds=1,
    )


def test_every_learner_has_its_clean_student() -> None:
    """The first it learns from, as transfer is counted beside it; a clean vector student stands at each layer too."""
    assert all(teachers[0] == CLEAN for teachers in (TEACHERS, *(t for _, t in OTHERS)))
    clean = {layer for teacher, layer in VECTOR_STUDENTS if teacher == CLEAN}
    assert {layer for _, layer in VECTOR_STUDENTS} == clean


def test_teachers_stand_behind_what_they_are_made_of() -> None:
    """A mean change is the tuned teacher's own; both layers have every origin of a vector."""
    order = [teacher.origin for teacher in TEACHERS]
    layers = {(teacher.origin, teacher.layer) for teacher in STEERED}

    assert order.index("mean") > order.index("tuned")
    assert layers == {(origin, at) for origin in ("persona", "learnt", "mean") for at in (0, 1)}


def test_no_reported_seed_was_tuned_on_and_no_trait_comes_twice() -> None:
    """Replicates differ in trait and in seed."""
    planned = replicates()
    traits = {trait_of(replicate, NAMES) for replicate in planned}

    assert TUNING != SEED
    assert REPLICATES >= 4
    assert len(traits) == len({r.own_seed for r in planned}) == REPLICATES


def test_transfer_is_counted_beside_the_clean_student() -> None:
    """A student at 1.5 beside a clean one at 1 moved by .5, whatever the base's margin is."""
    sample = values([reading(0, 0.5), reading(1, 0.5)], moved(TUNED))

    assert np.allclose(sample, [0.5, 0.51])
    assert p_value(np.array([1.0, 1.1, 0.9])) < 0.01
    assert p_value(np.array([1.0])) == 1


def test_what_diverged_is_told() -> None:
    """A learner without students has a figure without a value, not none."""
    broken = [
        r.model_copy(update={"students": tuple(s for s in r.students if "SGD" not in s.learner)})
        for r in (reading(0, 0.5), reading(1, 0.5))
    ]
    told = {figure.name: figure for figure in figures(broken, "x")}
    name = f"D: SGD, rank 32: students' margin, {BEST.name}"

    assert told[name].value is None
    assert told[f"A: {PERSONA[0].name}: students' margin"].value is not None
