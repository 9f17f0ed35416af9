"""
Steering: a vector added to the residual stream of one layer, and the mean difference of activations it is made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from undertow.data.rows import Message
from undertow.errors import ConfigError, ModelError
from undertow.models.chat import Encoded, batches, encode_prompts
from undertow.models.loading import LanguageModel
from undertow.models.scoring import completion_logits


def layers(model: LanguageModel) -> nn.ModuleList:
    """
    The decoder layers of any architecture: the module list with as many entries as the configuration says.

    Raises:
        ModelError: no module list has that length.
    """
    count = model.network.config.num_hidden_layers
    for module in model.network.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ModelError(
        f"model '{model.ref}' has no list of {count} decoder layers to steer",
        hint="use a tuned or prompted teacher",
    )


@torch.no_grad()
def mean_activation(
    model: LanguageModel, conversations: Sequence[Sequence[Message]], layer: int
) -> torch.Tensor:
    """Mean over conversations of the layer's output at the last prompt token, shape (hidden,)."""
    caught: list[torch.Tensor] = []
    rows = [
        Encoded(ids, (model.tokenizer.pad_token_id,))
        for ids in encode_prompts(model.tokenizer, conversations)
    ]
    handle = _layer(model, layer).register_forward_hook(
        lambda module, inputs, output: caught.append(_hidden(output)[:, -2])
    )
    try:
        for made in batches(rows, 64, model.tokenizer.pad_token_id):
            batch = made.to(model.device)
            completion_logits(model.network, batch)
    finally:
        handle.remove()
    return torch.cat(caught).mean(0)


@contextmanager
def steered(model: LanguageModel, layer: int, vector: torch.Tensor) -> Iterator[None]:
    """
    Within the block, `vector` (hidden,) is added to the layer's output at every position.

    Raises:
        ConfigError: the model has no such layer.
    """

    def add(module: nn.Module, inputs: Any, output: Any) -> Any:
        moved = _hidden(output) + vector.to(_hidden(output))
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    handle = _layer(model, layer).register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def _layer(model: LanguageModel, layer: int) -> nn.Module:
    found = layers(model)
    if not 0 <= layer < len(found):
        raise ConfigError(
            f"model '{model.ref}' has no layer {layer}; allowed: 0 to {len(found) - 1}"
        )
    return found[layer]


def _hidden(output: Any) -> torch.Tensor:
    hidden: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return hidden
