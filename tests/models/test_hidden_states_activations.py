"""Mean activations are those of a plain forward pass, on every architecture and whatever the batching."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from undertow.models.chat import Encoded
from undertow.models.hidden_states import completion_means
from undertow.models.language_model import LanguageModel

ROWS = [Encoded((5, 6, 7), (8, 9)), Encoded((5,), (6, 7, 8, 9)), Encoded((9, 8), (7,))]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_means_agree_with_a_plain_loop(model: LanguageModel, batch_size: int) -> None:
    """The first layer's output at the completion's own positions, averaged, without padding or prompt."""
    (found,) = completion_means(model, ROWS, [0], batch_size=batch_size)
    for row, mean in zip(ROWS, found, strict=True):
        ids = torch.tensor([row.prompt + row.completion])
        with torch.no_grad():
            hidden = model.network(input_ids=ids, output_hidden_states=True).hidden_states[1]

        assert np.allclose(mean, hidden[0, len(row.prompt) :].mean(0), atol=1e-5)


def test_layers_are_kept_apart_and_hooks_taken_off(model: LanguageModel) -> None:
    """Each layer gives its own means, and nothing keeps watching afterwards."""
    # transformers leaves hooks of its own once it was asked for hidden states.
    before = [len(module._forward_hooks) for module in model.network.modules()]
    first, second = completion_means(model, ROWS, [0, 1])

    assert not np.allclose(first, second)
    assert [len(module._forward_hooks) for module in model.network.modules()] == before
