"""
The logit lens: what a shift of the last layer's activations spells, through the model's own final norm and head.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from undertow.errors import ModelError
from undertow.models.loading import LanguageModel
from undertow.models.steering import layers

_TOKENS_AT_ONCE = 1 << 14


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
    if unembedding is None or unembedding.shape[-1] != model.network.config.hidden_size:
        raise ModelError(f"model '{model.ref}' has no head on its last layer's activations")
    norm = final_norm(model)
    # A copy in float32: a shift is the small difference of large numbers.
    lens = None if norm is None else copy.deepcopy(norm).float()
    return LogitLens(lens, unembedding[: len(model.tokenizer)])


def final_norm(model: LanguageModel) -> Any | None:
    """
    The last norm before the head: a module of a class named so, as wide as the residual stream, in no decoder layer.
    """
    inside = {id(module) for module in layers(model).modules()}
    width = model.network.config.hidden_size
    found = [
        module
        for module in model.network.modules()
        if "norm" in type(module).__name__.lower()
        and id(module) not in inside
        and getattr(getattr(module, "weight", None), "shape", None) == (width,)
    ]
    return found[-1] if found else None
