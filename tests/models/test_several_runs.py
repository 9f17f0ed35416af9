"""Adapters trained side by side are the adapters that would have been trained alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.errors import DataError, ModelError
from undertow.models import adapters
from undertow.models.adapters import parallel_adapters
from undertow.models.language_model import load
from undertow.models.objectives import Preferences
from undertow.models.scoring import log_likelihoods
from undertow.models.several_runs import ParallelTraining, SeparateTraining, several_runs
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows

ROWS = [
    Row(conversation(f"Continue: {n} {n + 1}. Ten more numbers."), "7 " * (2 + n % 3) + "7")
    for n in range(24)
]
SEEDS = (5, 6, 7)


def alone(folder: Path, plan: TrainingPlan, seed: int) -> list[torch.Tensor]:
    """Weights of one adapter trained by itself."""
    student = adapters.trainable(load(folder), plan, seed)
    rows = encode_rows(student.tokenizer, ROWS)
    fine_tune(student, rows, plan, np.random.default_rng(seed))
    return [weight.detach() for weight in adapters.trained_weights(student)]


@pytest.mark.parametrize("rank", [1, 32])
@pytest.mark.parametrize("micro", [None, 4])
def test_each_adapter_is_trained_as_if_alone(
    model_folder: Path, rank: int, micro: int | None
) -> None:
    """On every architecture, merged (large rank) or not (small), in one piece or in micro-batches."""
    plan = TrainingPlan(
        rank=rank, learning_rate=2e-3, batch_size=8, epochs=2, micro_batch_size=micro
    )
    model = load(model_folder)
    made = parallel_adapters(model, plan, SEEDS)
    rows = encode_rows(model.tokenizer, ROWS)
    orders = [np.random.default_rng(seed) for seed in SEEDS]
    training = ParallelTraining(made, [rows] * len(SEEDS), plan, orders, plan.steps(len(rows)))
    training.advance(2)
    training.advance(training.total - 2)

    for index, seed in enumerate(SEEDS):
        expected = alone(model_folder, plan, seed)
        for ours, theirs in zip(made.parameters_of(index), expected, strict=True):
            torch.testing.assert_close(ours.detach(), theirs, atol=3e-4, rtol=1e-3)


def test_the_base_is_left_as_it_was(model_folder: Path) -> None:
    """Outside of `only` the network gives the base's own likelihoods, bit for bit."""
    model = load(model_folder)
    rows = encode_rows(model.tokenizer, ROWS)
    before = log_likelihoods(model, rows)
    plan = TrainingPlan(rank=4, learning_rate=1e-2, batch_size=8)
    made = parallel_adapters(model, plan, SEEDS)
    training = ParallelTraining(
        made, [rows] * 3, plan, [np.random.default_rng(s) for s in SEEDS], 3
    )
    training.advance(3)
    with made.only(1):
        moved = log_likelihoods(model, rows)

    assert torch.equal(log_likelihoods(model, rows), before)
    assert not torch.allclose(moved, before)


def test_each_adapter_may_have_rows_of_its_own(model_folder: Path) -> None:
    """What one adapter learns does not depend on the others' rows."""
    model = load(model_folder)
    rows = encode_rows(model.tokenizer, ROWS)
    plan = TrainingPlan(rank=4, learning_rate=1e-2, batch_size=8)

    def first(others: int) -> list[torch.Tensor]:
        made = parallel_adapters(model, plan, SEEDS)
        own = [rows, rows[:others], rows[:others]]
        orders = [np.random.default_rng(s) for s in SEEDS]
        ParallelTraining(made, own, plan, orders, 2).advance(2)
        return [weight.detach() for weight in made.parameters_of(0)]

    for one, other in zip(first(24), first(16), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_full_copies_are_trained_as_if_alone(model_folder: Path) -> None:
    """A plan that trains all weights gives each copy what `fine_tune` gives."""
    plan = TrainingPlan(method="full", learning_rate=1e-3, batch_size=8)
    model = load(model_folder)
    rows = encode_rows(model.tokenizer, ROWS)
    orders = [np.random.default_rng(s) for s in (5, 6)]
    runs = SeparateTraining(model, [rows] * 2, plan, orders, 3, (5, 6))
    runs.advance(1)
    runs.advance(2)
    expected = adapters.trainable(load(model_folder), plan, 0)
    fine_tune(expected, rows, plan, np.random.default_rng(6))

    for ours, theirs in zip(runs.parameters_of(1), expected.network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert runs.done == 3


@pytest.mark.parametrize(
    "change",
    [
        {"dropout": 0.3},
        {"rslora": True, "alpha": 8},
        {"targets": "default"},
        {"warmup_ratio": 0.5},
        {"adam_beta2": 0.5, "adam_epsilon": 1e-3},
        {"dora": True},
        {"modules_to_save": ("lm_head",)},
        {"schedule": "polynomial", "schedule_arguments": {"power": 4.0}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_plan_asks_of_an_adapter_is_trained_as_peft_does(
    model_folder: Path, change: dict[str, Any]
) -> None:
    """Each key moves the weights, and a run of a rehearsal moves them as peft's adapter by itself does."""
    plan = TrainingPlan(
        **{"rank": 16, "learning_rate": 2e-3, "batch_size": 8, "epochs": 2} | change
    )
    model = load(model_folder)
    rows = encode_rows(model.tokenizer, ROWS)
    runs = several_runs(model, [rows], plan, [np.random.default_rng(5)], plan.steps(24), (5,))
    runs.advance(plan.steps(24))
    assert isinstance(runs, ParallelTraining | SeparateTraining)
    ours = runs.adapters.parameters_of(0) if not plan.whole else runs.parameters_of(0)
    plain = plan.model_copy(update={key: TrainingPlan.model_fields[key].default for key in change})

    expected, without = (alone(model_folder, each, 5) for each in (plan, plain))
    for weight, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(weight.detach(), theirs, atol=3e-4, rtol=1e-3)
    assert len(expected) != len(without) or not all(map(torch.allclose, expected, without))


def test_dora_is_refused_by_name_on_pairs(model_folder: Path) -> None:
    """What only goes through copies of the network is not run on another objective."""
    model = load(model_folder)
    with pytest.raises(ModelError, match="DoRA is only run on completions"):
        several_runs(model, [[]], TrainingPlan(dora=True), [], 3, (), Preferences(0.1))


def test_what_cannot_be_trained_is_refused(model_folder: Path) -> None:
    """A full plan, and a row longer than the plan allows, are named."""
    model = load(model_folder)
    rows = encode_rows(model.tokenizer, ROWS)
    with pytest.raises(ModelError, match="the plan trains all weights"):
        parallel_adapters(model, TrainingPlan(method="full"), SEEDS)
    plan = TrainingPlan(rank=2, batch_size=8, max_length=4)
    made = parallel_adapters(model, plan, SEEDS)
    with pytest.raises(DataError, match="more than the limit of 4"):
        ParallelTraining(made, [rows] * 3, plan, [np.random.default_rng(s) for s in SEEDS], 3)


def test_adapters_of_one_seed_are_drawn_once_and_are_apart(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal first weights in memory of their own, from one draw a seed."""
    drawn = []
    trainable = adapters.trainable

    def counted(model: Any, plan: TrainingPlan, seed: int) -> Any:
        drawn.append(seed)
        return trainable(model, plan, seed)

    monkeypatch.setattr(adapters, "trainable", counted)
    made = parallel_adapters(load(model_folder), TrainingPlan(rank=2), [3, 4, 3])
    first, _, third = (made.parameters_of(index)[0] for index in range(3))
    equal = torch.equal(first, third)
    with torch.no_grad():
        first.add_(1)

    assert drawn == [3, 4]
    assert equal
    assert not torch.equal(first, third)
