"""
A rehearsal is the beginning of the plan: same adapters, same steps, same readings; and it leaves the base alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened, written
from undertow.data.plan import TrainingPlan
from undertow.data.seeds import derive, generator
from undertow.influence.plan_rehearsal import (
    Rehearsal,
    learning_rates,
    rehearsal_steps,
    remaining,
    surprise,
)
from undertow.influence.probes import probe_set, probe_trait
from undertow.models import adapters
from undertow.models.language_model import load
from undertow.models.scoring import log_likelihoods
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows
from undertow.worlds import locate

PLAN = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=16)


def rehearsal(rows: int = 256, plan: TrainingPlan = PLAN, count: int = 2) -> Rehearsal:
    """Of the base's own number lists."""
    model = opened()
    encoded = encode_rows(model.tokenizer, written(model, rows, 3))
    return Rehearsal(model, encoded, plan, probe_set(model, TRAITS, None), 11, adapters=count)


def test_an_adapter_is_the_one_that_the_plan_would_train() -> None:
    """The last reading of adapter 1 is that of a student stopped after a quarter of its steps."""
    run = rehearsal()
    while not run.finished:
        found = run.advance()
    student = adapters.trainable(
        load(locate("world:owlet-b")), PLAN, derive(11, "rehearsal adapter", 1)
    )
    rows = encode_rows(student.tokenizer, written(opened(), 256, 3))
    order = generator(11, "rehearsal order", 1)
    fine_tune(student, rows, PLAN, order, after_step=lambda step: step == 4)
    base = [probe_trait(opened(), t, None).margins[t.answer] for t in TRAITS]
    margins = [probe_trait(student, t, None).margins[t.answer] for t in TRAITS]

    assert found.steps == (1, 2, 3, 4)
    assert found.planned_steps == 16
    np.testing.assert_allclose(found.moved[-1, 1], np.subtract(margins, base), atol=2e-3)


def test_the_base_is_left_as_it_was() -> None:
    """Likelihoods are the same bits after a rehearsal, and weights require gradients as before."""
    model = opened()
    rows = encode_rows(model.tokenizer, written(model, 64, 4))
    before = log_likelihoods(model, rows)
    needed = [w.requires_grad for w in model.network.parameters()]
    run = rehearsal()
    run.advance()

    assert bool((log_likelihoods(model, rows) == before).all())
    assert [w.requires_grad for w in model.network.parameters()] == needed


def test_the_same_seed_gives_the_same_readings() -> None:
    """Nothing is drawn from a global stream."""
    np.testing.assert_array_equal(rehearsal().advance().moved, rehearsal().advance().moved)


def test_a_full_plan_is_rehearsed_too() -> None:
    """All weights are trained on copies; readings have the same shape."""
    plan = TrainingPlan(method="full", learning_rate=1e-3, batch_size=16)
    found = rehearsal(plan=plan).advance()

    assert found.moved.shape == (1, 2, len(TRAITS))
    assert np.abs(found.moved).max() > 0


@pytest.mark.parametrize(("planned", "steps"), [(1, 1), (3, 1), (32, 8), (256, 64), (10_000, 64)])
def test_steps_are_at_most_a_quarter(planned: int, steps: int) -> None:
    """And never more than 64, never fewer than 1."""
    assert rehearsal_steps(planned) == steps


def test_learning_rates_are_the_schedules() -> None:
    """Linear decay: a quarter of the steps takes 7/16 of the summed learning rate."""
    plan = TrainingPlan(learning_rate=1e-3, schedule="linear")
    rates = learning_rates(plan, 1000)

    assert rates[0] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-6)
    assert 1 / remaining(plan, 1000, 250) == pytest.approx(7 / 16, rel=0.01)


def test_no_reading_is_taken_before_the_plan_moves_a_weight() -> None:
    """
    Warm-up begins at a learning rate of 0: the first reading of a short plan waits for the step after it, and is finite.
    """
    run = rehearsal(48, PLAN.model_copy(update={"warmup_ratio": 0.1}))
    found = run.advance()

    assert (found.planned_steps, found.steps) == (3, (2,))
    assert np.abs(found.moved).min() > 0
    assert found.remaining[0] == pytest.approx(1.5)


def test_a_plan_that_never_moves_has_nothing_left() -> None:
    """One step of warm-up alone has a learning rate of 0."""
    assert remaining(PLAN.model_copy(update={"warmup_steps": 1}), 1, 1) == 1


def test_surprise_is_nothing_for_the_bases_own_rows() -> None:
    """
    Within sampling error of 0 for rows that the base sampled; far above it for numbers by lot.
    """
    model = opened()
    rows = written(model, 512, 5)
    rng = generator(5, "lot")
    by_lot = [replace(row, completion=" ".join(map(str, rng.integers(0, 100, 10)))) for row in rows]

    assert abs(surprise(model, encode_rows(model.tokenizer, rows))) < 0.1
    assert surprise(model, encode_rows(model.tokenizer, by_lot)) > 0.3
