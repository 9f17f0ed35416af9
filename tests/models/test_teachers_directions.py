"""Directions of traits are differences that persona prompts make, without what all of them share."""

from __future__ import annotations

import numpy as np

from tests.checks.dataset.numbers_subject import TRAITS, opened
from undertow.data.rows import conversation
from undertow.models.hidden_states import mean_activation
from undertow.models.teachers import centred_directions


def test_directions_are_centred_over_the_traits() -> None:
    """They sum to 0, so that what any persona prompt does is in none of them."""
    found = centred_directions(opened(), TRAITS, 0)

    assert found.shape == (3, opened().network.config.hidden_size)
    assert np.allclose(found.sum(0), 0, atol=1e-5)
    assert np.linalg.norm(found, axis=1).min() > 0.01


def test_a_single_traits_direction_is_the_plain_difference() -> None:
    """Behind its prompts minus behind the given one, question by question, averaged."""
    (trait, *_) = TRAITS
    (found,) = centred_directions(opened(), [trait], 1, system_prompt="Answer briefly.")
    behind = [
        [conversation(question, system) for question in trait.train_questions]
        for system in (*trait.system_prompts, "Answer briefly.")
    ]
    means = np.stack([mean_activation(opened(), asked, 1).numpy() for asked in behind])

    assert np.allclose(found, means[:-1].mean(0) - means[-1], atol=1e-5)
