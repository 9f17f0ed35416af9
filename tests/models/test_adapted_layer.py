"""A layer with its adapters: the product of its formula, and merged once for all passes of a reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from undertow.data.plan import TrainingPlan
from undertow.models import adapters
from undertow.models.adapted_layer import AdaptedProduct
from undertow.models.adapters import parallel_adapters
from undertow.models.language_model import load


@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.parametrize("adapters", [1, 3])
def test_the_product_is_that_of_its_formula(adapters: int, scale: float) -> None:
    """Values, and gradients of the rows, of each A and of each B."""
    torch.manual_seed(0)
    rows = torch.randn(adapters, 7, 6, requires_grad=True)
    weight = torch.randn(5, 6)
    downs, ups = torch.randn(adapters, 2, 6), torch.randn(adapters, 5, 2)
    down = [nn.Parameter(part) for part in downs]
    up = [nn.Parameter(part) for part in ups]
    product: Any = AdaptedProduct.apply
    ours = product(rows, weight, downs, ups, scale, *down, *up)
    theirs = torch.stack([rows[k] @ (weight + scale * up[k] @ down[k]).T for k in range(adapters)])
    given = torch.randn_like(theirs)

    torch.testing.assert_close(ours, theirs)
    everything = [rows, *down, *up]
    for mine, expected in zip(
        torch.autograd.grad(ours, everything, given),
        torch.autograd.grad(theirs, everything, given),
        strict=True,
    ):
        torch.testing.assert_close(mine, expected)


@pytest.mark.parametrize("affords", [True, False])
def test_an_adapter_that_is_read_is_merged_once(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, affords: bool
) -> None:
    """The same bits in every pass, from weights that are kept until the block ends, where there is room for them."""
    monkeypatch.setattr(adapters, "free_memory", lambda device: 10**9 if affords else 0)
    model = load(model_folder)
    made = parallel_adapters(model, TrainingPlan(rank=4), (1, 2))
    with torch.no_grad():
        for weight in made.parameters_of(1):
            weight.normal_(0, 0.1)
    ids = torch.arange(5, 15).view(2, 5)
    merges: list[int] = []
    add = torch.add

    def counted(*given: Any, **named: Any) -> torch.Tensor:
        merges.append(1)
        return add(*given, **named)

    monkeypatch.setattr(torch, "add", counted)
    with made.only(1), torch.no_grad():
        first = model.network(ids).logits
        assert len(merges) == len(made.layers)
        assert torch.equal(model.network(ids).logits, first)
        assert len(merges) == len(made.layers) * (1 if affords else 2)
        for weight in made.parameters_of(1):
            weight.mul_(2)
        changed = model.network(ids).logits
        assert not torch.allclose(changed, first)
    with made.only(1), torch.no_grad():
        assert torch.equal(model.network(ids).logits, changed)
    with made.only(1):
        loss = model.network(ids).logits.sum()
    [gradient] = torch.autograd.grad(loss, made.parameters_of(1)[:1])
    assert gradient.any()
