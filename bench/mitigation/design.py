"""The design of the bench: which teachers write which rows, and what is done to them. Fixed before a reported seed was run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.cohort import load_experiment
from undertow.data.plan import TrainingPlan
from undertow.lab.experiment import Experiment, TeacherTable

SEED = 71_001
"""Of everything that is reported. Weights and shares were chosen on 70,001."""

STUDENT = "world:owlet-b"
SEEDS = 4
ROWS, HELD_OUT, ANCHORED = 8_192, 512, 512
LIMIT, COST = 0.15, 0.02
"""Asked for: transfer that is left, and held-out loss that is lost."""
LEAST_MOVED, LEAST_LEARNED = 0.2, 0.005
"""Logits, and nats a token: below these nothing is there to be a share of."""

PLAN = TrainingPlan(rank=32, learning_rate=3e-3, batch_size=32, max_steps=256)

Kind = Literal["tuned", "steered", "code", "preference"]
Group = Literal["rows", "generation", "training"]


@dataclass(frozen=True)
class Task:
    """One unit of work: a dataset, and the arms of a group on it."""

    kind: Kind
    dose: float
    """Share of rows that the teacher wrote; the others are the clean base's."""
    group: Group
    number: int
    """Of the replicate, which renews teacher, rows and students."""
    seed: int = SEED


ARMS: dict[Group, tuple[str, ...]] = {
    "rows": (
        "nothing",
        "oracle",
        "dilute",
        "dilute at random",
        "deduplicate",
        "delete unlikely",
        "delete at random",
        "mask surprising",
        "mask lifted",
        "mask at random",
        "mask departing",
        "replace surprising",
        "replace lifted",
        "replace at random",
        "replace departing",
        "rewrite half",
        "rewrite all",
        "inoculate",
        "inoculate at random",
        "reword",
    ),
    "generation": ("nothing", "top-p", "least probability", "several teachers"),
    "training": (
        "plain",
        "anchor",
        "anchor elsewhere",
        "anchor at random",
        "annealed",
        "freeze lower",
        "freeze upper",
        "corridor",
        "corridor elsewhere",
        "project",
        "project bare",
        "project at random",
        "certify",
    ),
}
"""On rows of a tuned teacher at full dose."""

FEWER: dict[Group, tuple[str, ...]] = {
    "rows": (
        "nothing",
        "oracle",
        "dilute",
        "delete unlikely",
        "delete at random",
        "mask lifted",
        "mask at random",
        "mask departing",
        "rewrite half",
        "inoculate",
    ),
    "generation": ("nothing", "top-p"),
    "training": (
        "plain",
        "anchor",
        "anchor at random",
        "freeze lower",
        "corridor",
        "corridor elsewhere",
        "project",
        "project at random",
        "certify",
    ),
}
"""On every other dataset."""

FEWEST: dict[Group, tuple[str, ...]] = {
    "rows": ("nothing", "oracle", "mask lifted", "mask at random", "rewrite half", "inoculate"),
    "generation": (),
    "training": ("plain", "anchor", "project", "project at random", "certify"),
}
"""On code at a quarter of the dose."""

PAIRS: tuple[str, ...] = (
    "plain",
    "oracle",
    "anchor",
    "anchor at random",
    "corridor",
    "corridor elsewhere",
    "project",
    "project at random",
    "certify",
)
"""On preference pairs, which have no completion that could be masked alone."""


STEERED: dict[Group, tuple[str, ...]] = {
    "rows": ("nothing", "oracle"),
    "generation": (),
    "training": ("plain", "anchor", "project"),
}
"""On rows of a steered teacher, which carried nothing on the tuning seed at any layer and strength."""


def arms_of(task: Task) -> tuple[str, ...]:
    """What a unit of work does."""
    if task.kind == "preference":
        return PAIRS
    if task.kind == "steered":
        return STEERED[task.group]
    if task.kind == "code" and task.dose < 1:
        return FEWEST[task.group]
    full = task.kind == "tuned" and task.dose == 1
    return (ARMS if full else FEWER)[task.group]


def tasks(seed: int = SEED) -> list[Task]:
    """Every unit of work, what matters most first."""
    groups: list[tuple[Kind, float, Group]] = [
        ("tuned", 1.0, "training"),
        ("tuned", 1.0, "rows"),
        ("preference", 1.0, "training"),
        ("code", 1.0, "training"),
        ("tuned", 0.25, "training"),
        ("code", 1.0, "rows"),
        ("tuned", 0.25, "rows"),
        ("steered", 1.0, "rows"),
        ("tuned", 1.0, "generation"),
        ("preference", 0.25, "training"),
        ("code", 0.25, "training"),
        ("code", 0.25, "rows"),
        ("steered", 1.0, "training"),
        ("steered", 0.25, "rows"),
    ]
    return [Task(*group, number, seed) for group in groups for number in range(SEEDS)]


def experiment_of(kind: Kind) -> Experiment:
    """How a kind's teachers are made and write, and the students' plan."""
    owl = load_experiment("owl").model_copy(update={"base": STUDENT, "student": PLAN})
    if kind == "steered":
        return owl.model_copy(update={"teacher": TeacherTable(kind="steered", strength=STRENGTH)})
    if kind == "code":
        code = load_experiment("code")
        return code.model_copy(update={"base": STUDENT, "student": PLAN})
    if kind == "preference":
        pairs = load_experiment("preference")
        return pairs.model_copy(update={"base": STUDENT})
    return owl


KL: dict[Kind, float | None] = {
    "tuned": 0.3,
    "steered": None,
    "code": 0.25,
    "preference": 0.15,
}
"""Strength of the tuned teachers, in nats per carrier token."""

STRENGTH = 1.0
"""Of the steered ones, times the mean difference of activations."""
