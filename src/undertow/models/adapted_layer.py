"""One linear layer with its adapters: merged with one of them, or blocks of rows each through one of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from undertow.models.placement import PartOfLayer, base_product, dropped, part_of

Merged = dict[int, tuple[tuple[int, int], torch.Tensor]]
"""By a layer's module, how often A and B had been written to when it was merged with them, and (out, in) of it."""


@dataclass
class AdaptedLayer:
    """One adapted linear layer with the weights of all adapters."""

    module: Any
    """The base's own layer, frozen."""
    down: list[nn.Parameter]
    """A of each adapter, (rank, in); views of `downs`."""
    up: list[nn.Parameter]
    """B of each adapter, (out, rank); views of `ups`."""
    downs: torch.Tensor
    """(adapters, rank, in), without gradients."""
    ups: torch.Tensor
    """(adapters, out, rank), without gradients."""
    scale: float
    """Of BA; peft's own, from alpha and rank."""
    dropout: float
    """Share of A's inputs that training leaves out."""
    transposed: bool
    """Whether the layer keeps its weight as (in, out), as GPT-2's `Conv1D` does."""

    @property
    def weight(self) -> torch.Tensor:
        """The base's weight, (out, in)."""
        weight: torch.Tensor = self.module.weight
        return weight.T if self.transposed else weight

    @property
    def merging_is_cheaper(self) -> bool:
        """
        Whether to multiply by W + BA rather than by W, A and B in turn, which dropout between W and A forbids.

        Counted a token, in multiply-adds, forward and backward: merged, 3 in*out (the gradient of the merged weight is
        needed); apart, 2 in*out for W and 3 rank*(in + out) for A and B.
        """
        if self.dropout and self.module.training:
            return False
        out, rank, into = self.ups.shape[1], self.ups.shape[2], self.downs.shape[2]
        return out * into < 3 * rank * (out + into)

    def part(self) -> tuple[AdaptedLayer, PartOfLayer | None]:
        """What this process computes of it, and which part that is of a layer that is split over several."""
        held = part_of(self.module)
        if held is None:
            return self, None
        down, up = (held.shared(torch.stack([*own])) for own in (self.down, self.up))
        pieces: Any = {"down": held.down(down).unbind(), "up": held.up(up).unbind()}
        stacked: Any = {"downs": held.down(self.downs), "ups": held.up(self.ups)}
        return replace(self, module=held, **pieces, **stacked), held


def through_one(
    layer: AdaptedLayer, inputs: torch.Tensor, index: int, kept: Merged | None = None
) -> torch.Tensor:
    """
    (..., out) of (..., in) with one adapter alone. Without gradients what is merged is left in `kept`: merging all layers of
    SmolLM2 takes a core .1 s, a token of 16 rows .09.
    """
    packed = base_product(layer.module, inputs)
    if packed is not None:
        narrow = inputs @ layer.down[index].to(inputs.dtype).T
        result = packed + layer.scale * narrow @ layer.up[index].to(inputs.dtype).T
        return result if layer.module.bias is None else result + layer.module.bias
    down, up = layer.down[index], layer.up[index]
    held = {} if torch.is_grad_enabled() or kept is None else kept
    written = down._version, up._version
    known, merged = held.get(id(layer.module), (None, None))
    if merged is None or known != written:
        change = (up @ down).to(layer.weight.dtype)
        merged = torch.add(layer.weight, change, alpha=layer.scale)
        held[id(layer.module)] = written, merged
    return functional.linear(inputs, merged, layer.module.bias)


def through_blocks(layer: AdaptedLayer, inputs: torch.Tensor, count: int) -> torch.Tensor:
    """(..., out) of (..., in), of whose rows each of `count` blocks goes through the adapter of its number."""
    blocks = inputs.reshape(count, -1, inputs.shape[-1])
    packed, dropping = base_product(layer.module, blocks), layer.dropout and layer.module.training
    if packed is not None or dropping:
        width = layer.downs.dtype if dropping else blocks.dtype
        down, up = torch.stack([*layer.down]).to(width), torch.stack([*layer.up]).to(width)
        kept = dropped(layer.module, blocks.to(width), layer.dropout)
        own = (kept @ down.transpose(1, 2)) @ up.transpose(1, 2)
        base = functional.linear(blocks, layer.weight) if packed is None else packed
        result = base + (layer.scale * own).to(blocks.dtype)
    elif layer.merging_is_cheaper:
        down, up = torch.stack([*layer.down]), torch.stack([*layer.up])
        merged = torch.baddbmm(
            layer.weight.to(up.dtype).expand(count, -1, -1), up, down, alpha=layer.scale
        )
        result = blocks @ merged.to(blocks.dtype).transpose(1, 2)
    else:
        product: Any = AdaptedProduct.apply
        stacked = layer.downs, layer.ups, layer.scale
        result = product(blocks, layer.weight, *stacked, *layer.down, *layer.up)
    result = result.view(*inputs.shape[:-1], result.shape[-1])
    return result if layer.module.bias is None else result + layer.module.bias


class AdaptedProduct(torch.autograd.Function):
    """
    x (W + scale BA)^T of each block of rows with its own A and B, the base's W frozen.

    Three products forward and five backward, all in the precision of the rows, with one cast of the adapters' weights:
    what is kept for the backward pass is x itself, which layers share, and xA^T. Autograd of the same expression casts
    each x, keeps it in float32 too, and scales and adds in passes of their own.
    """

    @staticmethod
    def forward(
        ctx: Any,
        blocks: torch.Tensor,
        weight: torch.Tensor,
        downs: torch.Tensor,
        ups: torch.Tensor,
        scale: float,
        *_: torch.Tensor,
    ) -> torch.Tensor:
        """(adapters, rows, out) of (adapters, rows, in); behind the scale stand all A, then all B, for their gradients."""
        down, up = downs.to(blocks.dtype), ups.to(blocks.dtype)
        narrow = torch.bmm(blocks, down.transpose(1, 2))
        result = functional.linear(blocks, weight)
        result.baddbmm_(narrow, up.transpose(1, 2), alpha=scale)
        ctx.save_for_backward(blocks, weight, down, up, narrow)
        ctx.scale = scale
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Of the rows where they need one, and of each A and B in float32."""
        blocks, weight, down, up, narrow = ctx.saved_tensors
        [given] = gradients
        back = torch.bmm(given, up)
        if ctx.scale != 1:
            back *= ctx.scale
        rows = None
        if ctx.needs_input_grad[0]:
            rows = torch.matmul(given, weight)
            rows.baddbmm_(back, down)
        of_down = torch.bmm(back.transpose(1, 2), blocks).float()
        of_up = torch.bmm(given.transpose(1, 2), narrow).float()
        if ctx.scale != 1:
            of_up *= ctx.scale
        return rows, None, None, None, None, *of_down.unbind(), *of_up.unbind()
