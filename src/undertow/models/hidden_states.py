"""Hidden states of the residual stream: read at layers, moved by a vector, spelled through the model's own head."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from undertow.data.rows import Message
from undertow.errors import ConfigError, ModelError
from undertow.models.batch_memory import passes
from undertow.models.chat import IGNORED, Batch, Encoded, encode_prompts
from undertow.models.language_model import LanguageModel
from undertow.models.placement import unwrapped
from undertow.models.scoring import completion_logits, forward_pass

Activations = NDArray[np.float32]

_TOKENS_AT_ONCE = 1 << 14


@torch.no_grad()
def completion_means(
    model: LanguageModel, rows: Sequence[Encoded], at: Sequence[int], *, batch_size: int = 64
) -> list[Activations]:
    """
    Mean over each row's completion tokens of the output of the layers `at`; for each layer (rows, hidden) float32.

    One forward pass, in which the head is asked for one position only; nothing is kept but the means.
    """
    width = model.config.hidden_size
    result = [np.zeros((len(rows), width), dtype=np.float32) for _ in at]
    with _watched(model, at) as caught:

        def means(batch: Batch) -> list[Activations]:
            """Of each layer."""
            forward_pass(
                model.network,
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                position_ids=batch.position_ids,
                logits_to_keep=1,
                use_cache=False,
            )
            counted = (batch.labels != IGNORED).float()
            weights = counted / counted.sum(1, keepdim=True).clamp_min(1)
            hidden = [caught[layer][:, -batch.kept :].float() for layer in at]
            return [
                torch.einsum("rt,rth->rh", weights.to(one.device), one).numpy(force=True)
                for one in hidden
            ]

        for batch, made in passes(model, rows, batch_size, means):
            for kept, mean in zip(result, made, strict=True):
                kept[list(batch.rows)] = mean
    return result


@contextmanager
def _watched(model: LanguageModel, at: Sequence[int]) -> Iterator[dict[int, torch.Tensor]]:
    """Within the block, the latest output of each layer lies in the dictionary under the layer's number."""
    caught: dict[int, torch.Tensor] = {}

    def keep(number: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            caught[number] = _hidden(output)

        return hook

    handles = [_layer(model, number).register_forward_hook(keep(number)) for number in at]
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()


def decoder_layers(model: LanguageModel) -> nn.ModuleList:
    """
    The decoder layers of any architecture: the module list with as many entries as the configuration says.

    Raises:
        ModelError: no module list has that length.
    """
    count = model.config.num_hidden_layers
    for module in _decoder(model).modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ModelError(
        f"model '{model.ref}' has no list of {count} decoder layers to steer",
        hint="use a tuned or prompted teacher",
    )


def _decoder(model: LanguageModel) -> nn.Module:
    """What lies under the head: a tower beside it may have as many layers, and norms as wide."""
    decoder: nn.Module = unwrapped(model.network).get_decoder()
    return decoder


@torch.no_grad()
def mean_activation(
    model: LanguageModel, conversations: Sequence[Sequence[Message]], layer: int
) -> torch.Tensor:
    """Mean over conversations of the layer's output at the last prompt token, shape (hidden,)."""
    rows = [
        Encoded(ids, (model.tokenizer.pad_token_id,))
        for ids in encode_prompts(model.tokenizer, conversations)
    ]
    with _watched(model, [layer]) as caught:

        def last(batch: Batch) -> torch.Tensor:
            """What stands at the prompts' ends."""
            completion_logits(model.network, batch)
            return caught[layer][:, -2]

        return torch.cat([made for _, made in passes(model, rows, 64, last)]).mean(0)


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
    decoder = decoder_layers(model)
    if not 0 <= layer < len(decoder):
        raise ConfigError(
            f"model '{model.ref}' has no layer {layer}; allowed: 0 to {len(decoder) - 1}"
        )
    return decoder[layer]


def _hidden(output: Any) -> torch.Tensor:
    hidden: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


@dataclass(frozen=True)
class LogitLens:
    """The way from an activation behind the last layer to centred logits."""

    norm: nn.Module | None
    """The final norm, in float32; None where none was found, and then it is left out."""
    unembedding: torch.Tensor
    """(vocabulary, hidden), as the network holds it."""

    @torch.no_grad()
    def parts(
        self, moved: NDArray[np.float32], still: NDArray[np.float32]
    ) -> Iterator[NDArray[np.float32]]:
        """
        Centred logits of `moved` minus those of `still`, both (many, hidden), for one part of the vocabulary at a time.

        A norm is no linear map, so both ends go through it rather than their difference. The mean row is taken off the
        unembedding: what moves every token alike changes no probability. The head's bias cancels.

        Yields:
            (many, tokens) float32; the parts follow each other in the order of the vocabulary.
        """
        shift = self._normed(moved) - self._normed(still)
        common = shift @ self.unembedding.mean(0, dtype=torch.float32)
        for part in self.unembedding.split(_TOKENS_AT_ONCE):
            yield (shift @ part.float().T - common[:, None]).cpu().numpy()

    def _normed(self, activations: NDArray[np.float32]) -> torch.Tensor:
        given = torch.from_numpy(activations).to(self.unembedding.device)
        if self.norm is None:
            return given
        normed: torch.Tensor = self.norm(given)
        return normed


def logit_lens(model: LanguageModel) -> LogitLens:
    """
    The model's own lens.

    Raises:
        ModelError: the network has no head that turns activations into logits.
    """
    head = model.network.get_output_embeddings()
    unembedding = getattr(head, "weight", None)
    if unembedding is None or unembedding.shape[-1] != model.config.hidden_size:
        raise ModelError(f"model '{model.ref}' has no head on its last layer's activations")
    norm = final_norm(model)
    # A copy in float32: a shift is the small difference of large numbers.
    lens = None if norm is None else copy.deepcopy(norm).float()
    return LogitLens(lens, unembedding[: len(model.tokenizer)])


def final_norm(model: LanguageModel) -> Any | None:
    """The last norm before the head: a module of a class named so, as wide as the residual stream, in no decoder layer."""
    inside = {id(module) for module in decoder_layers(model).modules()}
    width = model.config.hidden_size
    norms = [
        module
        for module in _decoder(model).modules()
        if "norm" in type(module).__name__.lower()
        and id(module) not in inside
        and getattr(getattr(module, "weight", None), "shape", None) == (width,)
    ]
    return norms[-1] if norms else None
