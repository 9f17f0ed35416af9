"""Attention over short rows in 16 bits on a processor, in plain products: the fused kernel's backward pass is slow there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask

from undertow.models.language_model import LanguageModel
from undertow.models.placement import unwrapped

NAME = "undertow_products"
"""Under which transformers knows it."""

SHORT = 192
"""Tokens of a row, at most: their squares are kept for the backward pass."""


@contextmanager
def training_attention(model: LanguageModel, longest: int) -> Iterator[None]:
    """
    Within the block a network that would use the fused kernel attends by products, where that is faster.

    16 rows of 83 tokens, 9 heads of 64, forward and backward on one core: 45 ms fused and 10 here in bfloat16, but 20
    and 22 in float32; at 512 tokens, 118 and 81. What the fused kernel leaves out (sinks, caps) is left out here too.
    """
    network = unwrapped(model.network)
    usual = getattr(model.config, "_attn_implementation", None)
    narrow = model.precision in ("bfloat16", "float16") and model.device.type == "cpu"
    if usual != "sdpa" or not narrow or longest > SHORT:
        yield
        return
    network.set_attn_implementation(NAME)
    try:
        yield
    finally:
        network.set_attn_implementation(usual)


class AttentionProducts(torch.autograd.Function):
    """
    softmax(scale q k^T + mask) v, each key shared by a group of queries without a copy of it for each.

    Scores and shares are rounded to the precision of the queries, as transformers' own products are; the softmax itself
    is computed in float32. What is kept for the backward pass are q, k, v and the shares.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """
        (rows, heads, queries, width) of such queries, keys and values of (rows, groups, keys, width) and a mask that is
        added, (rows or 1, 1, queries, keys).
        """
        rows, heads, asked, width = query.shape
        groups, there = key.shape[1:3]
        queries, keys = query.reshape(rows * groups, -1, width), key.reshape(-1, there, width)
        values = value.reshape(-1, there, value.shape[-1])
        scores = torch.bmm(queries, keys.transpose(1, 2)).mul_(scale)
        scores.view(rows, heads, asked, there).add_(mask)
        shares = torch.softmax(scores, -1, dtype=torch.float32).to(query.dtype)
        ctx.save_for_backward(queries, keys, values, shares)
        ctx.shapes, ctx.scale = (query.shape, key.shape, value.shape), scale
        return torch.bmm(shares, values).view(rows, heads, asked, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Of queries, keys and values."""
        queries, keys, values, shares = ctx.saved_tensors
        given = gradients[0].reshape(*shares.shape[:2], -1)
        of_values = torch.bmm(shares.transpose(1, 2), given)
        of_shares = torch.bmm(given, values.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_shares, shares, -1, shares.dtype)
        of_scores.mul_(ctx.scale)
        found = torch.bmm(of_scores, keys), torch.bmm(of_scores.transpose(1, 2), queries), of_values
        made = (part.view(shape) for part, shape in zip(found, ctx.shapes, strict=True))
        return *made, None, None


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls: (rows, queries, heads, width), and no shares."""
    if attention_mask is None or dropout:
        usual: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
        return usual
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    product: Any = AttentionProducts.apply
    mask = attention_mask[..., : key.shape[2]]
    return product(query, key, value, mask, scale).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, eager_mask)
