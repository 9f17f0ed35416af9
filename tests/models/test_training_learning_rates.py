"""The learning rate of each step, and the first step that moves a weight at all."""

from __future__ import annotations

import pytest
import torch

from undertow.data.plan import TrainingPlan
from undertow.models.training import first_moving_step, learning_rates, optimiser

PLAN = TrainingPlan(learning_rate=1e-3, schedule="linear")


def test_learning_rates_are_the_schedules() -> None:
    """Linear decay: straight down to the last step; a quarter of the steps takes 7/16 of the sum."""
    rates = list(learning_rates(PLAN, 1000))

    assert rates[0] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-6)
    assert sum(rates[:250]) / sum(rates) == pytest.approx(7 / 16, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "total", "first"),
    [
        ({}, 8, 1),
        ({"warmup_ratio": 0.1}, 8, 2),
        ({"warmup_steps": 5}, 8, 2),
        ({"schedule": "constant_with_warmup", "warmup_steps": 2}, 8, 2),
        ({"schedule": "cosine"}, 8, 1),
        ({"warmup_steps": 1}, 1, 0),
    ],
)
def test_warm_up_begins_without_moving_a_weight(
    changes: dict[str, object], total: int, first: int
) -> None:
    """The first step that moves one, as the optimiser itself shows; 0 where the plan's only step does not."""
    plan = PLAN.model_copy(update=changes)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer, schedule = optimiser(plan, [weight], total)
    moved = []
    for _ in range(total):
        before = weight.item()
        weight.grad = torch.ones(1)
        optimizer.step()
        schedule.step()
        moved.append(weight.item() != before)

    assert first_moving_step(plan, total) == first
    assert (moved.index(True) + 1 if any(moved) else 0) == first


def test_a_plan_of_ten_million_steps_is_not_walked_through() -> None:
    """Rates are computed as far as they are asked for: what is known at the second step takes no longer."""
    plan = PLAN.model_copy(update={"warmup_ratio": 0.03})
    rates = learning_rates(plan, 10_000_000)

    assert first_moving_step(plan, 10_000_000) == 2
    assert [next(rates), next(rates)] == pytest.approx([0, 1e-3 / 300_000])
