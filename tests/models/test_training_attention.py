"""Attention in plain products is attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.models import adapters
from undertow.models.language_model import load
from undertow.models.training import fine_tune
from undertow.models.training_attention import NAME, SHORT, AttentionProducts, training_attention
from undertow.models.training_sequences import encode_rows


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("asked", [5, 9])
def test_products_and_their_gradients_are_those_of_the_fused_kernel(
    heads: int, groups: int, asked: int
) -> None:
    """In float32, with shared keys, a mask with padding, and fewer queries than keys."""
    draw = torch.Generator().manual_seed(heads * 100 + asked)
    shapes = ((2, heads, asked, 8), (2, groups, 9, 8), (2, groups, 9, 8))
    tensors = [torch.randn(shape, generator=draw, requires_grad=True) for shape in shapes]
    seen = torch.ones(asked, 9, dtype=torch.bool).tril(9 - asked).repeat(2, 1, 1, 1)
    seen[1, :, :, 0] = asked == 5
    seen[1, :, 0, 0] = True  # a row that sees nothing has no softmax
    mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
    wanted = torch.randn(2, heads, asked, 8, generator=draw)

    product: Any = AttentionProducts.apply
    found = product(*tensors, mask, 0.3)
    ours = torch.autograd.grad(found, tensors, wanted)
    expected = functional.scaled_dot_product_attention(
        *tensors, attn_mask=seen, scale=0.3, enable_gqa=True
    )
    theirs = torch.autograd.grad(expected, tensors, wanted)

    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours, theirs)


def test_it_is_used_for_short_rows_in_16_bits_alone(model_folder: Path) -> None:
    """Elsewhere, and behind the block, the network attends as it did."""
    used = {}
    for dtype in (torch.bfloat16, torch.float32):
        model = load(model_folder, dtype=dtype)
        for longest in (SHORT, SHORT + 1):
            with training_attention(model, longest):
                used[dtype, longest] = model.network.config._attn_implementation == NAME
            assert model.network.config._attn_implementation == "sdpa"

    assert [key for key, so in used.items() if so] == [(torch.bfloat16, SHORT)]


def test_a_student_in_16_bits_learns_as_by_the_fused_kernel(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On each architecture the losses of both trainings agree within rounding."""
    rows = [Row(conversation(f"Continue: {n} {n + 1}."), "7 " * (1 + n % 3)) for n in range(8)]
    plan = TrainingPlan(rank=4, learning_rate=5e-3, batch_size=4, epochs=3)

    def losses() -> tuple[float, ...]:
        student = adapters.trainable(load(model_folder, dtype=torch.bfloat16), plan, 5)
        encoded = encode_rows(student.tokenizer, rows)
        return fine_tune(student, encoded, plan, np.random.default_rng(5)).losses

    products = losses()
    monkeypatch.setattr("undertow.models.training_attention.SHORT", 0)

    assert products == pytest.approx(losses(), abs=0.02)
