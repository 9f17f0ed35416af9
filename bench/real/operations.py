"""Floating-point operations of a transformer's matrix products, and what the machine reaches on a plain product."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bench.real.rate import wait

PEAK = 989e12
"""Dense bfloat16 operations a second of an H100 or H200 SXM, as its maker states them."""

FORMULA = (
    "2 a weight of the layers' matrices and token, 4 * layers * heads * head size a pair of a token and one that it "
    "sees, 2 * hidden * vocabulary a scored position; norms, rotations and softmax are left out"
)


@dataclass(frozen=True)
class NetworkShape:
    """The sizes that operations are counted from."""

    weights: int
    """Of the layers' matrices, without embedding and head."""
    layers: int
    attention: int
    """Heads times head size."""
    hidden: int
    vocabulary: int


def shape_of(network: Any) -> NetworkShape:
    """The shape of a network that bears no adapter."""
    config, head = network.config, network.get_output_embeddings()
    weights = sum(
        module.weight.numel()
        for module in network.modules()
        if isinstance(module, nn.Linear) and module is not head
    )
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return NetworkShape(
        weights, config.num_hidden_layers, heads * size, config.hidden_size, config.vocab_size
    )


def forward_operations(shape: NetworkShape, lengths: Sequence[int], scored: int) -> float:
    """
    Operations of a forward pass over rows of these lengths with `scored` predicted positions: `FORMULA`.

    Two layers of ten weights, no attention to speak of, a head of 3 x 5, a row of one token:

    >>> forward_operations(NetworkShape(20, 2, 1, 3, 5), [1], 1)
    78.0
    """
    tokens = sum(lengths)
    pairs = sum(n * (n + 1) / 2 for n in lengths)
    return float(
        2 * shape.weights * tokens
        + 4 * shape.layers * shape.attention * pairs
        + 2 * shape.hidden * shape.vocabulary * scored
    )


def training_operations(
    shape: NetworkShape, adapter: int, lengths: Sequence[int], scored: int
) -> float:
    """
    Operations of a step on an adapter of so many weights: the frozen matrices forward and once backward, attention
    forward and twice backward, the adapter's forward and twice backward.
    """
    forward = forward_operations(shape, lengths, scored)
    attention = forward_operations(NetworkShape(0, shape.layers, shape.attention, 0, 0), lengths, 0)
    return 2 * forward + attention + 6 * adapter * sum(lengths)


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int, times: int = 10) -> float:
    """Operations a second of a product of two random square matrices, mean of `times` after three that warm up."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    b = torch.randn(size, size, device=device, dtype=dtype)
    for _ in range(3):
        a @ b
    wait(device)
    began = time.perf_counter()
    for _ in range(times):
        a @ b
    wait(device)
    return 2 * size**3 * times / (time.perf_counter() - began)
