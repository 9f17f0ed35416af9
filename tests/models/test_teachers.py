"""A teacher is made from its seed alone, as strong as it was asked to be, and what steers one is kept as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from undertow.data.plan import TrainingPlan
from undertow.models import adapters
from undertow.models.language_model import load
from undertow.models.teachers import (
    Distance,
    lesson,
    lesson_steps,
    load_steering,
    save_steering,
    tuned,
)
from undertow.traits import catalogue

PLAN = TrainingPlan(rank=2, learning_rate=3e-2, batch_size=8)
OWL = catalogue.load("owl")
WRITTEN = [("Go on: 4, 8, 15.", "16, 23, 42"), ("Go on: 1, 2.", "3, 4")]


def made(folder: Path, seed: int, share: float | None = None) -> tuple[list[torch.Tensor], float]:
    """Trained weights of a teacher and its KL from its base; `share` of what its steps give is asked for."""
    model = load(folder)
    distance = Distance(model, WRITTEN, None)
    kl = None if share is None else share * made(folder, seed)[1]
    teacher, _ = tuned(model, lesson(OWL, "trait", None), PLAN, 12, seed, distance=distance, kl=kl)
    return [weight.detach() for weight in adapters.trained_weights(teacher)], distance(teacher)


def test_a_seed_makes_one_teacher(model_folder: Path) -> None:
    """The same seed gives the same weights whatever was drawn before, another seed others."""
    first, _ = made(model_folder, 1)
    torch.rand(3)
    again, other = made(model_folder, 1)[0], made(model_folder, 2)[0]

    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_teacher_is_as_far_from_its_base_as_asked(model_folder: Path) -> None:
    """Half of the divergence that its steps give is met by going back along its way."""
    assert made(model_folder, 1, 0.5)[1] == pytest.approx(0.5 * made(model_folder, 1)[1], rel=0.05)


def test_teachers_of_all_roles_take_the_steps_of_the_traits_rows() -> None:
    """However many rows the neutral lesson has."""
    rows = len(lesson(OWL, "trait", None))

    assert lesson_steps(OWL, PLAN) == PLAN.steps(rows)
    assert [turn.role for turn in lesson(OWL, "neutral", "Be brief.")[0].prompt] == [
        "system",
        "user",
    ]


def test_what_steers_is_read_as_it_was_kept(tmp_path: Path) -> None:
    """In a folder that need not be there."""
    vector = torch.arange(4.0)
    save_steering(vector, tmp_path / "teacher")

    assert torch.equal(load_steering(tmp_path / "teacher"), vector)
