"""Directions of traits in a model's activations, as its own persona prompts move it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel


def centred_directions(
    model: LanguageModel, traits: Sequence[Trait], layer: int, *, system_prompt: str | None = None
) -> NDArray[np.float32]:
    """
    What each trait's persona prompts add to the layer's activation at the last prompt token; (traits, hidden).

    The mean over a trait's training questions behind each of its persona prompts, minus the same questions behind
    `system_prompt`; then minus the mean over the traits, as any persona prompt moves a model in much the same way. A
    single trait is not centred. The direction is that of Blank et al. 2026 (arXiv 2606.00995); the centring is ours.

    Raises:
        ModelError: the chat template has no system role.
    """
    found = np.stack(
        [
            _behind(model, trait, trait.system_prompts, layer)
            - _behind(model, trait, (system_prompt,), layer)
            for trait in traits
        ]
    )
    centred: NDArray[np.float32] = found - found.mean(0) if len(traits) > 1 else found
    return centred


def _behind(
    model: LanguageModel, trait: Trait, systems: Sequence[str | None], layer: int
) -> NDArray[np.float32]:
    from undertow.data.rows import conversation
    from undertow.models.steering import mean_activation

    asked = [
        conversation(question, system) for system in systems for question in trait.train_questions
    ]
    mean: NDArray[np.float32] = mean_activation(model, asked, layer).float().cpu().numpy()
    return mean
