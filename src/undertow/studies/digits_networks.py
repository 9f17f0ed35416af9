"""
Many multi-layer perceptrons of one shape, trained side by side along a leading dimension.

A stack of S networks is one tensor a layer, so that S networks cost about as many operations as one.
Every network is trained exactly as it would be alone: the loss is a mean over the batch and a *sum*
over the networks, so no network's gradient is divided by S, and Adam works element by element.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


Stack: TypeAlias = "tuple[Tensor, ...]"
"""Weights (S, in, out) and biases (S, 1, out) of each layer in turn."""

_CLOSED = -1e9
"""Added to logits outside the softmax. Finite, since 0 * -inf is NaN in the loss."""


@dataclass(frozen=True)
class Lesson:
    """What a stack is trained on: targets over some of its logits."""

    inputs: Tensor
    """Shape (R, rows, features); S is a multiple of R, and network s sees inputs[s % R]."""
    targets: Tensor
    """Probabilities that sum to one over the open logits, shape (S, rows, outputs)."""
    mask: Tensor
    """From `open_columns`, shape (S, 1, outputs)."""


@dataclass(frozen=True)
class DigitsRecipe:
    """How a stack is trained: Adam on shuffled batches."""

    epochs: int
    batch_size: int
    learning_rate: float

    def steps(self, rows: int) -> int:
        """Steps over all epochs; the last batch of an epoch may be smaller."""
        return self.epochs * math.ceil(rows / self.batch_size)


def initialise(widths: Sequence[int], generators: Sequence[np.random.Generator]) -> Stack:
    """One network a generator: weights N(0, 1 / fan-in), biases zero (Cloud et al., 2025)."""
    import torch

    layers: list[Tensor] = []
    for inputs, outputs in itertools.pairwise(widths):
        drawn = [g.standard_normal((inputs, outputs)) / np.sqrt(inputs) for g in generators]
        layers.append(torch.tensor(np.stack(drawn), dtype=torch.float32))
        layers.append(torch.zeros(len(generators), 1, outputs))
    return tuple(layers)


def stacked(stacks: Sequence[Stack]) -> Stack:
    """Several stacks as one, in their order."""
    import torch

    return tuple(torch.cat(layer) for layer in zip(*stacks, strict=True))


def part(stack: Stack, start: int, size: int) -> Stack:
    """The networks from `start` on, `size` of them."""
    return tuple(layer[start : start + size] for layer in stack)


def logits(stack: Stack, inputs: Tensor) -> Tensor:
    """Outputs of shape (S, rows, outputs) for inputs of shape (S, rows, features)."""
    import torch

    hidden = inputs
    for weight, bias in zip(stack[:-2:2], stack[1:-2:2], strict=True):
        hidden = torch.baddbmm(bias, hidden, weight).relu()
    return torch.baddbmm(stack[-1], hidden, stack[-2])


def open_columns(columns: Sequence[slice], outputs: int) -> Tensor:
    """Mask of shape (S, 1, outputs) that leaves only each network's columns in the softmax."""
    import torch

    mask = torch.full((len(columns), 1, outputs), _CLOSED)
    for network, column in enumerate(columns):
        mask[network, :, column] = 0.0
    return mask


def probabilities(stack: Stack, inputs: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the open logits, shape (S, rows, outputs)."""
    import torch

    with torch.no_grad():
        return torch.softmax(logits(stack, inputs) + mask, dim=-1)


def train(
    stack: Stack,
    lesson: Lesson,
    recipe: DigitsRecipe,
    orders: Sequence[np.random.Generator],
    *,
    after_step: Callable[[], None] = lambda: None,
    after_epoch: Callable[[Stack], None] = lambda stack: None,
) -> Stack:
    """
    A trained copy of the stack; cross-entropy to the targets, which has the gradient of their KL.

    Args:
        stack: The networks to start from; left as they are.
        lesson: Inputs and targets.
        recipe: Epochs, batch size, learning rate.
        orders: One generator for each of the R inputs: its row order, drawn anew every epoch.
        after_step: Called after every batch.
        after_epoch: Called with the networks after every epoch.
    """
    import torch

    weights = tuple(layer.clone().requires_grad_() for layer in stack)
    optimiser = torch.optim.Adam(weights, lr=recipe.learning_rate, fused=True)
    rows = lesson.inputs.shape[1]
    for _ in range(recipe.epochs):
        order = torch.from_numpy(np.stack([g.permutation(rows) for g in orders]))
        for start in range(0, rows, recipe.batch_size):
            loss = _loss(weights, lesson, order[:, start : start + recipe.batch_size])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            after_step()
        after_epoch(tuple(layer.detach() for layer in weights))
    return tuple(layer.detach() for layer in weights)


def divergence(stack: Stack, lesson: Lesson) -> Tensor:
    """KL(targets || network) over the open logits, mean over rows, in nats, shape (S,)."""
    import torch

    with torch.no_grad():
        inputs = lesson.inputs.repeat(lesson.targets.shape[0] // lesson.inputs.shape[0], 1, 1)
        log_q = torch.log_softmax(logits(stack, inputs) + lesson.mask, dim=-1)
        # Closed logits have p = 0, and xlogy(0, 0) is 0.
        p = lesson.targets
        return (torch.xlogy(p, p) - p * log_q).sum(-1).mean(-1)


def accuracy(stack: Stack, inputs: Tensor, labels: Tensor, classes: int) -> Tensor:
    """
    Share of rows whose largest class logit is the label's, shape (S,).

    Args:
        stack: The networks.
        inputs: Shape (S, rows, features).
        labels: Shape (S, rows).
        classes: The class logits are the first ones.
    """
    import torch

    with torch.no_grad():
        return (logits(stack, inputs)[..., :classes].argmax(-1) == labels).double().mean(-1)


def _loss(stack: Stack, lesson: Lesson, rows: Tensor) -> Tensor:
    """Mean over the batch, summed over networks; `rows` has shape (R, batch)."""
    import torch

    repeats = lesson.targets.shape[0] // lesson.inputs.shape[0]
    features, outputs = lesson.inputs.shape[-1], lesson.targets.shape[-1]
    inputs = lesson.inputs.gather(1, rows[..., None].expand(-1, -1, features))
    chosen = rows.repeat(repeats, 1)[..., None].expand(-1, -1, outputs)
    log_q = torch.log_softmax(logits(stack, inputs.repeat(repeats, 1, 1)) + lesson.mask, dim=-1)
    return -(lesson.targets.gather(1, chosen) * log_q).sum(-1).mean(-1).sum()
