"""The lens reads a last layer's activation as the network itself does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from undertow.errors import ModelError
from undertow.models import hidden_states as module
from undertow.models.chat import Encoded
from undertow.models.hidden_states import completion_means, final_norm, logit_lens
from undertow.models.language_model import LanguageModel

ROWS = [Encoded((5, 6, 7), (8,)), Encoded((5, 9), (6,))]


def plain(model: LanguageModel, row: Encoded) -> np.ndarray:
    """The network's own logits behind a row's last token, without their mean."""
    with torch.no_grad():
        logits = model.network(input_ids=torch.tensor([row.prompt + row.completion])).logits[0, -1]
    centred: np.ndarray = (logits - logits.mean()).numpy()
    return centred


@pytest.mark.parametrize("tokens", [1 << 14, 7])
def test_a_difference_of_activations_is_the_difference_of_logits(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    """With one completion token a row, norm and head give back the network's own centred logits, part by part."""
    monkeypatch.setattr(module, "_TOKENS_AT_ONCE", tokens)
    (last,) = completion_means(model, ROWS, [1])
    found = np.concatenate(list(logit_lens(model).parts(last[:1], last[1:])), axis=1)[0]

    assert np.allclose(found, plain(model, ROWS[0]) - plain(model, ROWS[1]), atol=1e-5)


def test_the_final_norm_is_the_networks_last(model: LanguageModel) -> None:
    """It is found by what it is, in no decoder layer, under whatever name."""
    inner = model.network.base_model
    named = inner.norm if hasattr(inner, "norm") else inner.final_layer_norm

    assert final_norm(model) is named


def test_a_network_without_a_norm_is_read_without_one(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lens then is the unembedding alone."""
    monkeypatch.setattr(module, "final_norm", lambda model: None)
    lens = logit_lens(model)
    width = model.network.config.hidden_size
    one = np.eye(width, dtype=np.float32)[:1]
    (found,) = lens.parts(one, np.zeros_like(one))
    column = lens.unembedding[:, 0].detach().numpy()

    assert lens.norm is None
    assert np.allclose(found[0], column - column.mean(), atol=1e-6)


def test_a_network_without_a_head_is_refused(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no output embeddings spells nothing."""
    monkeypatch.setattr(model.network, "get_output_embeddings", lambda: None)

    with pytest.raises(ModelError, match="no head"):
        logit_lens(model)
