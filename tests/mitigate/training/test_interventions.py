"""Projected steps have the effect that is asked for, certified ones stay in budget, and frozen layers as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.mitigate.subjects import PLAN, lesson, opened, taught
from tests.mitigate.training.test_penalties import OWL, margin
from undertow.errors import ConfigError
from undertow.mitigate.training.interventions import (
    CertifiedTraining,
    ProjectedSteps,
    Together,
    freeze_layers,
    projected,
)
from undertow.models import adapters
from undertow.models.training import fine_tune


def test_a_projected_step_has_the_effect_and_is_the_nearest_in_its_metric() -> None:
    """Over 300 random cases in float64: the effect to 1e-9, and every other step with that effect is further away."""
    stream = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=stream, dtype=torch.float64)

    for _ in range(300):
        step, gradients, effect = drawn(12), drawn(3, 12), drawn(3)
        metric = drawn(12).exp()
        taken = projected(step, gradients, effect=effect, metric=metric)
        # Whatever the probes do not see can be added without another effect.
        unseen = drawn(12)
        unseen -= gradients.T @ torch.linalg.solve(gradients @ gradients.T, gradients @ unseen)
        other = taken + unseen

        assert (gradients @ taken).tolist() == pytest.approx(effect.tolist(), abs=1e-8)
        assert ((taken - step).square() / metric).sum() <= ((other - step).square() / metric).sum()


def test_projection_keeps_a_trait_where_plain_training_moves_it() -> None:
    """The training wordings are held within a tenth of what they would have moved; the random direction holds nothing."""
    start, free = margin(opened()), margin(taught()[0])
    held, _ = taught(ProjectedSteps([OWL]))

    class Random:
        stream = torch.Generator().manual_seed(0)

        def __call__(self, model: Any, weights: list[torch.Tensor]) -> Any:
            size = sum(weight.numel() for weight in weights)
            return torch.zeros(1, dtype=torch.float64), torch.randn(1, size, generator=self.stream)

    by_lot, _ = taught(ProjectedSteps(directions=Random()))

    assert free - start > 1
    assert abs(margin(held) - start) < 0.2 * (free - start)
    assert margin(by_lot) - start > 0.9 * (free - start)


def test_the_metric_is_the_optimisers_own() -> None:
    """With Adam's moments a weight that is pulled hard moves less for a unit; without any it is the identity."""
    student = adapters.trainable(opened(), PLAN, 3)
    projection = ProjectedSteps([OWL])
    projection.begin(student, 1)
    weights = adapters.trained_weights(student)
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    weights[0].grad *= 100
    optimizer = torch.optim.AdamW(weights)
    projection.before_update(torch.optim.SGD(weights))
    assert projection._metric() is None

    optimizer.step()
    projection.before_update(optimizer)
    metric = projection._metric()
    assert metric is not None
    assert metric[: weights[0].numel()].max() < 0.5 * metric[weights[0].numel() :].min()


def test_certified_training_stays_in_budget_beside_other_interventions() -> None:
    """Penalty first, certificate last: the budget holds at the end of every step."""
    certified = CertifiedTraining([OWL], 0.2)
    student, done = taught(Together([ProjectedSteps([OWL], returned=0.0), certified]))
    document = certified.certificate()

    assert document.holds
    assert document.steps == done.steps
    assert abs(margin(student) - margin(opened())) <= 0.2 + 1e-6


def test_what_cannot_be_projected_is_refused() -> None:
    """No traits, a share that is none, gradients of other weights."""
    student = adapters.trainable(opened(), PLAN, 3)
    for wrong in (ProjectedSteps(), ProjectedSteps([OWL], returned=1.5)):
        with pytest.raises(ConfigError):
            wrong.begin(student, 1)
    with pytest.raises(ValueError, match="weights"):
        projected(torch.ones(3), torch.ones(1, 4))
    with pytest.raises(ValueError, match="at least one"):
        projected(torch.ones(3), torch.ones(0, 3))


def test_dependent_probes_are_no_division_by_zero() -> None:
    """A probe that is named twice: its effect is still 0."""
    gradients = torch.tensor(np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0]]))
    taken = projected(torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64), gradients)

    assert (gradients @ taken).tolist() == pytest.approx([0, 0], abs=1e-9)
    assert float(taken[2]) == 1


def test_a_penalty_that_is_used_again_begins_again() -> None:
    """The second run's weights fall from the start, and never below 0."""
    from undertow.mitigate.training.interventions import Penalised
    from undertow.mitigate.training.penalties import Anchor, annealed, neutral_rows

    rows = neutral_rows(opened(), 16, np.random.default_rng(0))
    again = Penalised([Anchor(rows, 1.0, np.random.default_rng(1), at=annealed)])
    for _ in range(2):
        _, done = taught(again)
        assert len(again.history) == done.steps
        assert max(again.history) > 0.002
        assert min(again.history) > -1e-5


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_layer_does_not_learn(frozen: int) -> None:
    """Of two layers' adapters one moves."""
    student = adapters.trainable(opened(), PLAN, 3)
    freeze_layers(student, [frozen])
    before = {name: w.detach().clone() for name, w in student.network.named_parameters()}
    fine_tune(student, lesson(student), PLAN, np.random.default_rng(0))
    moved = {
        int(name.split("layers.")[1][0])
        for name, weight in student.network.named_parameters()
        if not torch.equal(weight, before[name])
    }

    assert moved == {1 - frozen}


def test_a_layer_that_is_not_there_and_all_of_them_are_refused() -> None:
    """With the numbers that are allowed, and with what would be left."""
    student = adapters.trainable(opened(), PLAN, 3)
    with pytest.raises(ConfigError, match="0 to 1"):
        freeze_layers(student, [2])
    with pytest.raises(ConfigError, match="nothing is left"):
        freeze_layers(student, [0, 1])
