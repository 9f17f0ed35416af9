"""Exact likelihoods agree with a plain forward pass, whatever the batching."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from undertow.data.rows import Message, Row, conversation
from undertow.models import scoring
from undertow.models.batch_memory import passes
from undertow.models.chat import Encoded, pad
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import (
    completion_logits,
    log_likelihoods,
    loss,
    mean_divergence,
    rows_at_once,
    token_log_probabilities,
)
from undertow.models.training_sequences import encode_rows

ROWS = [
    Row(conversation("Continue: 12 45 67. Ten more numbers."), "1 2 3"),
    Row(conversation("What does an owl eat?", "Answer briefly."), "mice"),
    Row((), "a plain text without a chat", chat=False),
]


def plain(model: LanguageModel, row: Encoded) -> float:
    """The same by one unpadded forward pass and a loop over tokens."""
    ids = torch.tensor([row.prompt + row.completion])
    with torch.no_grad():
        values = model.network(input_ids=ids).logits[0].double().log_softmax(-1)
    start = len(row.prompt)
    return sum(float(values[start + i - 1, t]) for i, t in enumerate(row.completion))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_likelihoods_agree_with_a_plain_loop(model: LanguageModel, batch_size: int) -> None:
    """Padding, positions and the kept logits change nothing beyond float32's noise."""
    rows = encode_rows(model.tokenizer, ROWS)
    found = log_likelihoods(model, rows, batch_size=batch_size)

    assert found.tolist() == pytest.approx([plain(model, row) for row in rows], abs=2e-4)


def test_a_networks_signature_is_looked_at_once(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many passes it makes."""
    fresh = replace(model, network=copy.deepcopy(model.network))
    looked: list[Any] = []
    real = inspect.signature

    def signature(call: Callable[..., Any], **how: Any) -> inspect.Signature:
        if getattr(call, "__self__", None) in (fresh.network, fresh.network.base_model):
            looked.append(call)
        return real(call, **how)

    monkeypatch.setattr(inspect, "signature", signature)
    log_likelihoods(fresh, encode_rows(model.tokenizer, ROWS), batch_size=1)

    assert len(looked) == 1


def test_loss_is_per_token(model: LanguageModel) -> None:
    """Rows weigh by their tokens, not one each."""
    rows = encode_rows(model.tokenizer, ROWS)
    expected = -sum(plain(model, row) for row in rows) / sum(len(row.completion) for row in rows)

    assert loss(model, rows) == pytest.approx(expected, abs=1e-4)


def test_divergence_of_a_model_from_itself_is_zero(model: LanguageModel) -> None:
    """KL(p || p) = 0, and it is positive against another distribution."""
    rows = encode_rows(model.tokenizer, ROWS)
    own = token_log_probabilities(model, rows)
    other = (own + torch.linspace(0, 1, own.shape[1])).log_softmax(-1)

    assert mean_divergence(own, own) == pytest.approx(0, abs=1e-7)
    assert mean_divergence(own, other) > 1e-3


def test_batches_cover_every_row_once(model: LanguageModel) -> None:
    """No row is lost or repeated, and completions end at the right edge."""
    rng = np.random.default_rng(1)
    rows = [
        Encoded(tuple([7] * int(rng.integers(1, 9))), tuple([8] * int(rng.integers(1, 5))))
        for _ in range(23)
    ]
    made = [batch for batch, _ in passes(model, rows, 5, lambda batch: None)]

    assert sorted(i for batch in made for i in batch.rows) == list(range(23))
    assert all(bool((batch.input_ids[:, -1] == 8).all()) for batch in made)


def test_the_completion_holds_the_end_of_turn(model: LanguageModel) -> None:
    """A student must learn to stop: the template's end token is part of the loss."""
    row = encode_rows(model.tokenizer, [Row((Message("user", "hello"),), "owl")])[0]

    assert row.completion[-1] == model.tokenizer.eos_token_id


@pytest.mark.parametrize(("budget", "expected"), [(1 << 40, 128), (10, 1)])
def test_a_batch_is_between_one_row_and_the_most(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, budget: int, expected: int
) -> None:
    """Much memory gives the largest batch, too little gives a single row."""
    monkeypatch.setattr(scoring, "LOGITS", budget)

    assert rows_at_once(model, [Encoded((1,), (2, 3))]) == expected


def test_the_longest_completion_decides(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows times positions times vocabulary stay below the budget."""
    monkeypatch.setattr(scoring, "LOGITS", 10 * len(model.tokenizer) * 4)

    assert rows_at_once(model, [Encoded((1,), (2,)), Encoded((1,), (2, 3, 4))]) == 10


def test_a_frozen_head_multiplies_one_table(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logits are those of the network's own pass, and no stack of rows goes through the head, which copies it."""
    frozen = copy.deepcopy(model.network).requires_grad_(False)
    batch = pad(encode_rows(model.tokenizer, ROWS), model.tokenizer.pad_token_id, (0, 1, 2))
    with torch.no_grad():
        whole = frozen(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
        ).logits[:, -batch.kept - 1 : -1]
        completion_logits(frozen, batch)  # looks once whether the head does more than multiply
        shapes: list[torch.Size] = []
        linear = functional.linear

        def seen(inputs: torch.Tensor, weight: torch.Tensor, *more: Any) -> torch.Tensor:
            if weight is frozen.get_output_embeddings().weight:
                shapes.append(inputs.shape)
            return linear(inputs, weight, *more)

        monkeypatch.setattr(functional, "linear", seen)
        found = completion_logits(frozen, batch)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4)
    assert [len(shape) for shape in shapes] == [2]
