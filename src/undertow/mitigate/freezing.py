"""Layers that are left as they are."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from undertow.errors import ConfigError

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel


def freeze_layers(model: LanguageModel, frozen: Collection[int]) -> None:
    """
    Take the decoder layers of these numbers, from 0, out of what is trained: their adapters, or their own weights.

    In the literature one adapted layer near the bottom is enough for a trait to cross and the upper ones are not
    (Schrodi et al. 2026, arXiv 2509.23886), so that the lower half is the one to freeze.

    Raises:
        ConfigError: there is no such layer, or nothing would be left to train.
        ModelError: the decoder layers cannot be found.
    """
    from undertow.models.adapters import trained_weights
    from undertow.models.steering import layers

    found = layers(model)
    wrong = [number for number in frozen if not 0 <= number < len(found)]
    if wrong:
        raise ConfigError(f"there is no layer {wrong[0]}; allowed: 0 to {len(found) - 1}")
    for number in frozen:
        found[number].requires_grad_(False)
    if not trained_weights(model):
        raise ConfigError(f"all {len(found)} layers are frozen: nothing is left to train")
