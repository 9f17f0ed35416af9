"""The design of the bench: which teachers write, how students learn, and what is asked. Fixed before the reported seed was run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.steering.learners import Learner
from undertow.data.seeds import derive, generator

SEED = 91_001
"""Of everything that is reported. Grids and rates were chosen on 91,000."""

BASE, EXPERIMENT = "world:owlet-b", "owl"
"""The student, and whose carrier, sampling and teacher's plan are used."""

REPLICATES = 6
"""Most; each has a trait by lot, a teacher, rows, an adapter and an order of its own."""

ROWS, READ = 6_144, 1_024
"""Rows a dataset, once through: 192 steps. Of so many of them the loss is read behind the training."""

KL, STRONG = 0.3, 1.0
"""Of teachers, nats a carrier token."""

LAYERS = (0, 1)
"""All of owlet-b's."""

Origin = Literal["clean", "tuned", "prompted", "persona", "learnt", "mean"]
"""`mean` is the tuned teacher's own mean change of activations on carrier rows, as a vector."""


@dataclass(frozen=True)
class Teacher:
    """Who writes a dataset."""

    origin: Origin
    layer: int | None = None
    """Of a steered one."""
    kl: float | None = None
    """What it is brought to; None where it stays what it is."""

    @property
    def name(self) -> str:
        """As figures have it."""
        parts: list[str] = [self.origin]
        parts += [f"layer {self.layer}"] if self.layer is not None else []
        parts += [f"KL {self.kl:g}"] if self.kl is not None else []
        return " ".join(parts)


CLEAN, TUNED, PROMPTED = Teacher("clean"), Teacher("tuned", kl=KL), Teacher("prompted")
LEARNT = tuple(Teacher("learnt", layer, KL) for layer in LAYERS)
MEAN = tuple(Teacher("mean", layer, KL) for layer in LAYERS)
PERSONA = tuple(Teacher("persona", layer, kl) for layer in LAYERS for kl in (KL, STRONG))

TEACHERS = (CLEAN, TUNED, PROMPTED, *PERSONA, *LEARNT, *MEAN)
STEERED = tuple(teacher for teacher in TEACHERS if teacher.layer is not None)
BEST = LEARNT[0]
"""The steered teacher that other learners learn from too; designated on the tuning seed, where none moved anything."""

USUAL_LEARNER = Learner("AdamW, rank 32")
"""Learns from every teacher."""

OTHERS: tuple[tuple[Learner, tuple[Teacher, ...]], ...] = (
    (Learner("SGD, rank 32", "sgd", 0.4, clip=None), (CLEAN, TUNED, BEST)),
    (Learner("SGD, rank 2", "sgd", 0.4, rank=2, clip=None), (CLEAN, TUNED, BEST)),
    (Learner("AdamW, rank 2", rank=2), (CLEAN, TUNED, BEST)),
    (Learner("AdamW, rank 8", rank=8), (CLEAN, TUNED, BEST)),
    (Learner("AdamW, all weights", rate=2e-4, rank=None), (CLEAN, TUNED)),
)
"""Which learn from the tuned teacher and the best steered one, beside students of clean rows."""

VECTOR_STUDENTS: tuple[tuple[Teacher, int], ...] = (
    (CLEAN, 0),
    (CLEAN, 1),
    (TUNED, 0),
    (TUNED, 1),
    (BEST, 0),
    (PERSONA[-1], 1),
)
"""Students that may learn one vector at the layer and nothing else, from the teacher's rows."""


@dataclass(frozen=True)
class Replicate:
    """One unit of work."""

    number: int
    seed: int = SEED

    @property
    def own_seed(self) -> int:
        """Of its teacher, rows, adapter and order."""
        return derive(self.seed, "replicate", self.number)


def trait_of(replicate: Replicate, names: tuple[str, ...]) -> str:
    """By lot, no trait twice."""
    order = generator(replicate.seed, "traits").permutation(np.arange(len(names)))
    return names[int(order[replicate.number])]


def replicates() -> list[Replicate]:
    """In their order."""
    return [Replicate(number) for number in range(REPLICATES)]
