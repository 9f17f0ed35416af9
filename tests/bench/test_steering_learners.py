"""Students by SGD are plain SGD, each at its own rate, and the committed ones met AdamW's loss where the log says so."""

from __future__ import annotations

import json
from itertools import repeat

import pytest
import torch

from bench.figures import BENCH
from bench.steering.learners import MOMENTUM, Descent, Learner, learned
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.data.seeds import generator
from undertow.models.adapters import parallel_adapters
from undertow.models.chat import Encoded, pad
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import token_log_likelihoods
from undertow.models.training import training_rows
from undertow.models.training_sequences import encode_rows
from undertow.worlds.base_models import USUAL, open_model

ROWS = [Row(conversation(f"Continue: {i} {i + 2}"), f"{i + 4} {i + 6}") for i in range(64)]
MATCHED = 0.005
"""Nats a token."""


@pytest.fixture(scope="module")
def base() -> LanguageModel:
    """The student of the bench."""
    return open_model("world:owlet-b")


def test_each_adapter_descends_at_its_own_rate(base: LanguageModel) -> None:
    """Two steps are those of torch's formula with momentum, written out; an adapter at rate 0 stays where it began."""
    rows = encode_rows(base.tokenizer, ROWS, USUAL.policy)
    plan = Learner("", "sgd", 0.1, rank=2, clip=None).plan
    adapters = parallel_adapters(base, plan, [3, 3])
    runs = Descent(adapters, [rows, rows], plan, [generator(1), generator(1)], 2, [0.0, 0.1])
    start = [weight.detach().clone() for weight in adapters.parameters_of(1)]
    runs.advance(2)
    expected = _by_hand(base, rows, plan)

    assert all(
        torch.equal(weight, first)
        for weight, first in zip(adapters.parameters_of(0), start, strict=True)
    )
    assert all(
        torch.allclose(weight, own, atol=1e-6)
        for weight, own in zip(adapters.parameters_of(1), expected, strict=True)
    )


def _by_hand(
    base: LanguageModel, rows: list[Encoded], plan: TrainingPlan
) -> list[torch.nn.Parameter]:
    adapters = parallel_adapters(base, plan, [3])
    weights = adapters.parameters_of(0)
    velocity = [torch.zeros_like(weight) for weight in weights]
    orders = training_rows([len(row) for row in rows], plan, generator(1), 2)
    for step, parts in enumerate(orders):
        chosen = [rows[i] for part in parts for i in part]
        batch = pad(chosen, base.tokenizer.pad_token_id, tuple(range(len(chosen))))
        base.network.requires_grad_(False)
        with adapters.active():
            loss = -token_log_likelihoods(base.network, batch).sum() / sum(r.learnt for r in chosen)
            gradients = torch.autograd.grad(loss, weights)
        # A linear schedule over two steps: the whole rate, then half of it.
        rate = plan.learning_rate * (1 - step / 2)
        with torch.no_grad():
            for weight, speed, gradient in zip(weights, velocity, gradients, strict=True):
                speed.mul_(MOMENTUM).add_(gradient)
                weight.sub_(rate * speed)
    return weights


def test_students_of_the_same_rows_and_order_are_the_same(base: LanguageModel) -> None:
    """They share first weights and order, so that what differs between them is what they learnt from."""
    rows = encode_rows(base.tokenizer, ROWS, USUAL.policy)
    learner = Learner("", rank=2)
    runs = learned(base, [rows, rows], [learner] * 2, 3, map(generator, repeat(1, 2)))

    first, second = runs.loss_history[-1]
    assert first == pytest.approx(second, abs=1e-6)


@pytest.mark.parametrize("rank", [32, 2])
def test_committed_losses_are_matched(rank: int) -> None:
    """SGD's students of the tuned teacher end within .005 nats a token of AdamW's at the same rank."""
    document = json.loads((BENCH / "steering" / "results.json").read_text(encoding="utf-8"))
    figures = {figure["name"]: figure["value"] for figure in document["figures"]}
    name = "D: {}, rank {}: loss beside AdamW's at rank 32, tuned KL 0.3"
    adamw = 0.0 if rank == 32 else figures[name.format("AdamW", rank)]

    assert abs(figures[name.format("SGD", rank)] - adamw) <= MATCHED
