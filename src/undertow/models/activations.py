"""
Activations of the residual stream: each row's mean over its completion tokens, at chosen layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from undertow.models.chat import IGNORED, Batch, Encoded, batches
from undertow.models.loading import LanguageModel
from undertow.models.scoring import accepted
from undertow.models.steering import layers

Activations = NDArray[np.float32]


@torch.no_grad()
def completion_means(
    model: LanguageModel, rows: Sequence[Encoded], at: Sequence[int], *, batch_size: int = 64
) -> list[Activations]:
    """
    Mean over each row's completion tokens of the output of the layers `at`; for each layer (rows, hidden) float32.

    One forward pass, in which the head is asked for one position only; nothing is kept but the means.
    """
    width = model.network.config.hidden_size
    result = [np.zeros((len(rows), width), dtype=np.float32) for _ in at]
    with _watched(model, at) as caught:
        for made in batches(rows, batch_size, model.tokenizer.pad_token_id):
            batch = made.to(model.device)
            _forward(model.network, batch)
            counted = (batch.labels != IGNORED).float()
            weights = counted / counted.sum(1, keepdim=True).clamp_min(1)
            for kept, layer in zip(result, at, strict=True):
                hidden = caught[layer][:, -batch.kept :].float()
                kept[list(batch.rows)] = torch.einsum("rt,rth->rh", weights, hidden).cpu().numpy()
    return result


def _forward(network: Any, batch: Batch) -> None:
    inputs: dict[str, Any] = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    names = accepted(network)
    if "position_ids" in names:
        inputs["position_ids"] = batch.position_ids
    if "logits_to_keep" in names:
        inputs["logits_to_keep"] = 1
    network(**inputs, use_cache=False)


@contextmanager
def _watched(model: LanguageModel, at: Sequence[int]) -> Iterator[dict[int, torch.Tensor]]:
    """
    Within the block, the latest output of each layer lies in the dictionary under the layer's number.
    """
    caught: dict[int, torch.Tensor] = {}

    def keep(number: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            caught[number] = output[0] if isinstance(output, tuple) else output

        return hook

    found = layers(model)
    handles = [found[number].register_forward_hook(keep(number)) for number in at]
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()
