"""Steering adds its vector where it says, on every architecture, and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch

from undertow.data.rows import conversation
from undertow.errors import ConfigError
from undertow.models.hidden_states import decoder_layers, mean_activation, steered
from undertow.models.language_model import LanguageModel

QUESTIONS = [conversation("What is your favourite animal?"), conversation("Name one animal.")]


def test_the_vector_is_added_within_the_block_only(model: LanguageModel) -> None:
    """The mean activation moves by the vector inside, and is what it was outside."""
    vector = torch.linspace(-1, 1, model.network.config.hidden_size)
    before = mean_activation(model, QUESTIONS, 1)
    with steered(model, 1, vector):
        inside = mean_activation(model, QUESTIONS, 1)

    assert torch.allclose(inside - before, vector, atol=1e-5)
    assert torch.equal(mean_activation(model, QUESTIONS, 1), before)


def test_the_mean_is_over_conversations(model: LanguageModel) -> None:
    """Left padding does not leak into the last prompt token."""
    alone = torch.stack([mean_activation(model, [q], 0) for q in QUESTIONS]).mean(0)

    assert torch.allclose(mean_activation(model, QUESTIONS, 0), alone, atol=1e-5)


def test_a_layer_that_is_not_there_is_refused(model: LanguageModel) -> None:
    """The allowed layers are named."""
    with (
        pytest.raises(ConfigError, match="has no layer 9; allowed: 0 to 1"),
        steered(model, 9, torch.zeros(1)),
    ):
        pass
    assert len(decoder_layers(model)) == 2
