"""The gradient of the student's loss on rows, and how far one step along it goes towards another model's weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from undertow.models.batch_memory import passes
from undertow.models.chat import Batch, Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import rows_at_once
from undertow.models.training import completion_loss
from undertow.stats.arguments import Vector

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Alignment:
    """Minus the loss's gradient on blocks of rows, seen along the way from one model's weights to another's."""

    along: Vector
    """(blocks,) inner product of minus each block's gradient with the way: nats a completion token for the whole way."""
    gradient_norm: float
    """Euclidean norm of the mean of the blocks' gradients."""
    way_norm: float
    """Euclidean norm of the way, over all weights."""
    placebo_sd: float
    """Standard deviation of the mean gradient's inner product with a random way that has the same norm in each tensor."""

    @property
    def cosine(self) -> float:
        """Of minus the mean gradient and the way; 0 where either is 0."""
        length = self.gradient_norm * self.way_norm
        return float(self.along.mean()) / length if length > 0 else 0.0


def same_weights(model: LanguageModel, other: LanguageModel) -> bool:
    """Whether two models have weights of the same names and shapes, so that a difference of weights has a meaning."""
    shapes = [
        {name: weight.shape for name, weight in version.network.named_parameters()}
        for version in (model, other)
    ]
    return shapes[0] == shapes[1]


def loss_gradient(model: LanguageModel, rows: Sequence[Encoded]) -> list[Tensor]:
    """
    Gradient of the mean cross-entropy a completion token, one float32 tensor a weight in the network's own order.

    Neither the network's stored gradients nor what it would train are changed.
    """
    import torch

    weights = list(model.network.parameters())
    total = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    tokens = sum(row.learnt for row in rows)
    with _differentiable(weights), torch.enable_grad():

        def parts(batch: Batch) -> tuple[Tensor | None, ...]:
            """Of the batch's share of the loss."""
            loss = completion_loss(model.network, batch) / tokens
            return torch.autograd.grad(loss, weights, allow_unused=True)

        for _, made in passes(model, rows, rows_at_once(model, rows, most=64), parts):
            for kept, part in zip(total, made, strict=True):
                if part is not None:
                    kept += part
    return total


def alignment(
    start: LanguageModel, end: LanguageModel, blocks: Sequence[Sequence[Encoded]]
) -> Alignment:
    """
    How far the first training step of `start` on each block of rows goes towards `end`, over all weights.

    One forward and one backward pass over the rows; the way itself is formed tensor by tensor and never kept.
    The placebo needs no draws: for a direction that is uniform on the sphere in each of the tensors, independently, the
    inner product with gradient g has mean 0 and variance sum over tensors of |way|^2 |g|^2 / entries.
    """
    import torch

    along = np.zeros(len(blocks))
    mean: list[Tensor] = []
    for i, rows in enumerate(blocks):
        gradient = loss_gradient(start, rows)
        along[i] = -sum(
            float((part * way).sum(dtype=torch.float64))
            for part, way in zip(gradient, _way(start, end), strict=True)
        )
        mean = gradient if i == 0 else [m.add_(g) for m, g in zip(mean, gradient, strict=True)]
    squares = [(_square(part) / len(blocks) ** 2, part.numel()) for part in mean]
    ways = [_square(way) for way in _way(start, end)]
    return Alignment(
        along=along,
        gradient_norm=math.sqrt(sum(square for square, _ in squares)),
        way_norm=math.sqrt(sum(ways)),
        placebo_sd=math.sqrt(
            sum(way * square / size for way, (square, size) in zip(ways, squares, strict=True))
        ),
    )


def _way(start: LanguageModel, end: LanguageModel) -> Iterator[Tensor]:
    reached = dict(end.network.named_parameters())
    for name, weight in start.network.named_parameters():
        yield reached[name].detach().to(weight.device).float() - weight.detach().float()


def _square(tensor: Tensor) -> float:
    import torch

    return float(tensor.square().sum(dtype=torch.float64))


@contextmanager
def _differentiable(weights: Sequence[Tensor]) -> Iterator[None]:
    before = [weight.requires_grad for weight in weights]
    try:
        for weight in weights:
            weight.requires_grad_(True)
        yield
    finally:
        for weight, was in zip(weights, before, strict=True):
            weight.requires_grad_(was)
