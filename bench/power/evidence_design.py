"""
The design of the bench, fixed before anything was run: which teachers write which datasets, and which are trained on.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bench.cohort import Ground, Member, Sample, Writer, WriterKind, load_experiment, member
from undertow.data.plan import TrainingPlan
from undertow.data.seeds import derive
from undertow.traits import catalogue

SEED = 51_001
"""Of every teacher, dataset and student here; the calibration's seed is another."""

STUDENT, FOREIGN, OTHER = "world:owlet-b", "world:owlet-a", "world:owlet-neox"
STRENGTHS = (0.15, 0.2, 0.3, 0.4)
DOSES = (0.5, 0.25, 0.1)


PLAN = TrainingPlan(rank=32, learning_rate=3e-3, batch_size=32, max_steps=256)
"""The plan that the embedded world's table is for: one epoch, at most 256 steps."""


def ground() -> Ground:
    """The student, its plan and the traits."""
    experiment = load_experiment("owl").model_copy(update={"base": STUDENT, "student": PLAN})
    return Ground(experiment, tuple(t.name for t in catalogue.load_category("animal")))


def members(traits: tuple[str, ...]) -> list[Member]:
    """
    100 teachers that should raise no alarm, the clean base, and 56 with a trait, in an order by lot.
    """
    rng = np.random.default_rng(derive(SEED, "design"))
    found: list[Member] = []

    def add(
        kind: WriterKind,
        number: int,
        samples: Iterable[Sample],
        on: str = STUDENT,
        kl: float | None = None,
    ) -> None:
        own = derive(SEED, kind, on, number)
        writer = Writer(kind, on, traits[int(rng.integers(len(traits)))], own, kl)
        found.append(member(writer, samples))

    for i in range(70):
        add("neutral", i, _neutral(i))
    for i in range(12):
        temperature = (1.0, 0.7, 0.85, 1.2)[i % 4]
        without = (13, 42, 66, 7) if i >= 8 else ()
        sizes = (1024, 1024, 4096, 4096, 16384)
        add("clean", i, [Sample(n, temperature=temperature, without=without) for n in sizes])
    for i in range(30):
        kind: WriterKind = "tuned" if i % 2 else "neutral"
        trained = 2 * (i % 3 == 0)
        samples = [
            Sample(1024),
            Sample(1024),
            Sample(4096),
            Sample(4096, students=trained),
        ]
        add(kind, i, samples, OTHER if i % 5 == 4 else FOREIGN, 0.15 if i % 2 else None)
    for i in range(34):
        add("tuned", i, _tuned(i), kl=STRENGTHS[i % len(STRENGTHS)])
    for kind in ("prompted", "steered"):
        for i in range(8):
            add(kind, i, [Sample(16384, students=2)])
    for kind in ("triggered", "hiding"):
        for i in range(3):
            add(kind, i, [Sample(16384, students=2)], kl=0.15)
    return [found[i] for i in rng.permutation(len(found))]


def _neutral(number: int) -> list[Sample]:
    trained = 2 * (number % 5 == 1)
    last = 16384 if number % 6 == 0 else 1024
    sizes = (1024, 1024, 1024, 4096, last)
    return [*(Sample(n) for n in sizes), Sample(4096, students=trained)]


def _tuned(number: int) -> list[Sample]:
    second = Sample(4096, students=2) if number % 2 else Sample(16384, dose=0.75, students=2)
    samples = [Sample(16384, students=2), second]
    if number % 2 == 0:
        low = DOSES[number // 2 % len(DOSES)]
        samples.append(Sample(16384 if number % 4 == 0 else 4096, dose=low, students=2))
    elif number % 4 == 1:
        samples.append(Sample(1024, students=2))
    return samples
