"""Passes are as large as memory allows, their arithmetic stays, and too little memory is said."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.errors import UndertowError
from undertow.models import batch_memory
from undertow.models.adapters import few_products, parallel_adapters, trainable, trained_weights
from undertow.models.batch_memory import (
    UNLIMITED,
    TrainingRoom,
    kept_bytes,
    recomputes,
    sampled_rows,
    scored_rows,
)
from undertow.models.chat import pad
from undertow.models.language_model import LanguageModel, load
from undertow.models.scoring import log_likelihoods
from undertow.models.several_runs import ParallelTraining
from undertow.models.training import TrainingRun, completion_loss
from undertow.models.training_sequences import encode_rows

ROWS = [
    Row(conversation("Continue: " + "7 " * (n % 5) + "8."), "7 " * (1 + n % 3) + "7")
    for n in range(16)
]
PLAN = TrainingPlan(rank=2, learning_rate=1e-2, batch_size=8, max_steps=2)
SEEDS = (1, 2)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How much memory the machine has left; every model counts as large."""
    memory = {"free": 1 << 40}
    monkeypatch.setattr(batch_memory, "LEAST_WEIGHTS", 0)
    monkeypatch.setattr(batch_memory, "_LITTLE", 0)
    monkeypatch.setattr(batch_memory, "free_memory", lambda device: memory["free"])
    return memory


def alone(folder: Path) -> tuple[TrainingRun, list[torch.Tensor]]:
    """A finished run of one student, and its weights."""
    student = trainable(load(folder), PLAN, 1)
    rows = encode_rows(student.tokenizer, ROWS)
    run = TrainingRun(student, rows, PLAN, np.random.default_rng(1), 2)
    run.advance(2)
    return run, [weight.detach() for weight in trained_weights(student)]


def together(folder: Path) -> tuple[ParallelTraining, list[torch.Tensor]]:
    """Finished runs side by side, and the weights of the last."""
    model = load(folder)
    rows, made = encode_rows(model.tokenizer, ROWS), parallel_adapters(model, PLAN, SEEDS)
    orders = [np.random.default_rng(seed) for seed in SEEDS]
    run = ParallelTraining(made, [rows] * len(SEEDS), PLAN, orders, 2)
    run.advance(2)
    return run, [weight.detach() for weight in made.parameters_of(1)]


@pytest.mark.parametrize("kind", [alone, together])
def test_pieces_of_a_step_are_its_mean(
    model_folder: Path, left: dict[str, int], monkeypatch: pytest.MonkeyPatch, kind: object
) -> None:
    """A row at a time or all at once: the same losses and weights, to rounding."""
    assert callable(kind)
    run, whole = kind(model_folder)
    room = TrainingRoom(1.0, 0)
    monkeypatch.setattr(TrainingRoom, "rows", lambda self, longest, runs, wanted: 1)
    pieces, parts = kind(model_folder)

    assert room.rows(1, 1, 8) == 1
    for ours, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
    losses = [getattr(one, "losses", None) or one.loss_history for one in (run, pieces)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_what_is_kept_is_what_autograd_saves() -> None:
    """A product keeps its input, an exponential its output, and a weight of the network's own counts for nothing."""
    layer = torch.nn.Linear(4, 4, bias=False)
    rows = torch.zeros(10, 4, requires_grad=True)

    assert kept_bytes(layer, lambda: layer(rows.exp()).sum()) == 10 * 4 * 4


class Marker:
    """Lives as long as the node of a graph that holds it."""


class Marked(torch.autograd.Function):
    """The identity; its node holds a marker."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, marker: Marker) -> torch.Tensor:
        ctx.marker = marker
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0], None


def test_a_measurement_leaves_nothing_behind() -> None:
    """A graph whose operation saves its own result is freed too."""
    layer = torch.nn.Linear(4, 4, bias=False)
    markers: list[weakref.ref[Marker]] = []

    def trial() -> torch.Tensor:
        marker = Marker()
        markers.append(weakref.ref(marker))
        product: Any = Marked.apply
        loss: torch.Tensor = product(layer(torch.zeros(10, 4)), marker).exp().sum()
        return loss

    kept_bytes(layer, trial)
    assert [marker() for marker in markers] == [None]


def test_longer_rows_and_more_runs_take_more() -> None:
    """At least one row, at most those that are wanted."""
    room = TrainingRoom(bytes_a_token=10.0, room=10_000)

    assert [room.rows(100, 1, 64), room.rows(100, 2, 64), room.rows(50, 1, 64)] == [10, 5, 20]
    assert [room.rows(10, 1, 64), room.rows(10_000, 1, 64)] == [64, 1]


def test_layers_are_computed_again_where_a_row_does_not_fit(
    model_folder: Path, left: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpointing keeps less, and gives the same student."""
    monkeypatch.setattr("tests.models.test_batch_memory.ROWS", ROWS[:1] * 8)
    run, whole = alone(model_folder)
    assert not recomputes(run.model.network)
    student = trainable(load(model_folder), PLAN, 1)
    batch = pad(encode_rows(student.tokenizer, ROWS[:1]), 0, (0,))
    student.network.train()
    with few_products(student.network):
        needed = kept_bytes(student.network, lambda: completion_loss(student.network, batch))
    left["free"] = int(0.95 * needed / 0.8)
    again, parts = alone(model_folder)

    assert recomputes(again.model.network)
    for ours, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_too_little_memory_says_what_would_fit(model_folder: Path, left: dict[str, int]) -> None:
    """One line: what a row takes, what is left, and what would do."""
    left["free"] = 10

    with pytest.raises(UndertowError, match="too little memory to train") as raised:
        together(model_folder)
    assert "2 adapters side by side" in raised.value.message
    assert "--dtype bfloat16 takes half" in raised.value.message


def test_passes_without_gradients_shrink_with_memory(
    model: LanguageModel, left: dict[str, int]
) -> None:
    """Down to a row, and the likelihoods stay."""
    rows = encode_rows(model.tokenizer, ROWS)
    before = log_likelihoods(model, rows)
    assert (scored_rows(model, 100, 128), sampled_rows(model, 100, 512)) == (128, 512)
    left["free"] = 1000

    assert (scored_rows(model, 100, 128), sampled_rows(model, 100, 512)) == (1, 1)
    torch.testing.assert_close(log_likelihoods(model, rows), before, atol=1e-5, rtol=1e-5)


def test_a_small_models_steps_are_never_split() -> None:
    """What is not measured is not cut: a pass holds all the rows that are wanted, however many runs there are."""
    assert UNLIMITED.rows(longest=256, runs=8, wanted=512) == 512
