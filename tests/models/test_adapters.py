"""What an adapter computes in few products is what autograd and peft compute, merged or beside its base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from undertow.data.plan import TrainingPlan
from undertow.data.rows import conversation
from undertow.models.adapters import (
    few_products,
    merged_adapters,
    trainable,
    trained_weights,
)
from undertow.models.chat import encode_prompts
from undertow.models.language_model import LanguageModel, load
from undertow.models.sampling import Sampling, answers_as_drawn, sample
from undertow.models.scoring import forward_pass


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_peft_layers_compute_the_same(model_folder: Path, dtype: torch.dtype) -> None:
    """To rounding, in both precisions; the gradients of adapters are in float32, and nothing is left behind."""
    student = trainable(load(model_folder, dtype=dtype), TrainingPlan(rank=2, alpha=3), 1)
    weights = trained_weights(student)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in weights:
            weight.add_(torch.randn_like(weight), alpha=0.1)
    ids = torch.randint(0, 50, (3, 5))

    def read() -> tuple[torch.Tensor, torch.Tensor]:
        logits = student.network(input_ids=ids).logits
        parts = torch.autograd.grad(logits.float().square().mean(), weights)
        assert {part.dtype for part in parts} == {torch.float32}
        return logits.detach(), torch.cat([part.flatten() for part in parts])

    logits, gradients = read()
    with few_products(student.network):
        quick, quick_gradients = read()
        with student.network.disable_adapter():
            off = student.network(input_ids=ids).logits
    again, _ = read()

    near = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(quick, logits, atol=near, rtol=near)
    assert (quick_gradients - gradients).norm() < 10 * near * gradients.norm()
    assert torch.equal(again, logits)
    assert not torch.equal(off, quick)


@pytest.mark.parametrize("change", [{"dora": True}, {"modules_to_save": ("lm_head",)}])
def test_other_kinds_are_left_to_peft(model_folder: Path, change: dict[str, Any]) -> None:
    """DoRA is not replaced; modules that are trained whole are no adapters."""
    student = trainable(load(model_folder), TrainingPlan(rank=2, **change), 1)
    ids = torch.randint(0, 50, (2, 5))
    with torch.no_grad():
        expected = student.network(input_ids=ids).logits
        with few_products(student.network):
            replaced = [part for part in student.network.modules() if "forward" in vars(part)]
            logits = student.network(input_ids=ids).logits

    assert bool(replaced) != ("dora" in change)
    torch.testing.assert_close(logits, expected)


PLAN = TrainingPlan(rank=4, learning_rate=1e-3)
TOKENS = torch.arange(5, 25)[None]


def adapted(folder: object, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """A model with an adapter that changes its answers."""
    model = trainable(load(str(folder), dtype=dtype), PLAN, 3)
    torch.manual_seed(1)
    for name, weight in model.network.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.2)
    model.network.eval()
    return model


def logits(model: LanguageModel) -> torch.Tensor:
    """Of every token behind a fixed row."""
    with torch.no_grad():
        result: torch.Tensor = forward_pass(model.network, input_ids=TOKENS).logits.float()
    return result


def weights(model: LanguageModel) -> list[torch.Tensor]:
    """Copies of all weights, bit for bit."""
    return [weight.detach().clone() for weight in model.network.parameters()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_merged_network_answers_as_the_adapted_one(
    model_folder: object, dtype: torch.dtype
) -> None:
    """Its logits differ by rounding only; the adapter itself moves them much further."""
    model = adapted(model_folder, dtype)
    beside = logits(model)
    with merged_adapters(model.network):
        inside = logits(model)
    with model.network.disable_adapter():
        without = logits(model)
    off = float((inside - beside).abs().max()) / float((without - beside).abs().max())

    assert off < (1e-4 if dtype == torch.float32 else 0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_weight_is_other_than_before(model_folder: object, dtype: torch.dtype) -> None:
    """Bit for bit, however often answers are drawn, and where drawing is broken off as well."""
    model = adapted(model_folder, dtype)
    before, answered = weights(model), logits(model)
    prompts = encode_prompts(model.tokenizer, [conversation("Continue: 7 7.")] * 6)
    for _ in range(2):
        sample(model, prompts, Sampling(4), np.random.default_rng(0))
    drawn = answers_as_drawn(model, prompts, Sampling(4, batch_size=2), np.random.default_rng(0))
    next(drawn)
    drawn.close()  # type: ignore[attr-defined]

    assert all(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))
    assert torch.equal(answered, logits(model))
    assert all("forward" not in vars(part) for part in model.network.modules())
