"""Mean activations are those of a plain forward pass on every architecture, and a steered layer shifts them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from undertow.data.rows import conversation
from undertow.errors import ConfigError
from undertow.models.chat import Encoded, encode_prompts
from undertow.models.hidden_states import completion_means, decoder_layers, mean_activation, steered
from undertow.models.language_model import LanguageModel
from undertow.models.sampling import Sampling, sample

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


@pytest.mark.parametrize("layer", [0, 1])
def test_a_steered_model_writes_what_it_would_say(model: LanguageModel, layer: int) -> None:
    """Token by token with the cache, the vector is added to every position: the same as in one pass over all of them."""
    vector = 3 * torch.linspace(-1, 1, model.network.config.hidden_size)
    [prompt] = encode_prompts(model.tokenizer, QUESTIONS[:1])
    greedy = Sampling(max_tokens=6, temperature=0)
    with steered(model, layer, vector):
        [written] = sample(model, [prompt], greedy, np.random.default_rng(0))
        ids = list(prompt)
        for _ in range(greedy.max_tokens):
            with torch.no_grad():
                logits = model.network(torch.tensor([ids]), use_cache=False).logits
            ids.append(int(logits[0, -1].argmax()))
    [plain] = sample(model, [prompt], greedy, np.random.default_rng(0))
    own = ids[len(prompt) :]
    ends = [i for i, token in enumerate(own) if token in model.end_ids]
    own = own[: ends[0]] if ends else own

    assert written.text == model.tokenizer.decode(own, skip_special_tokens=True)
    assert written.text != plain.text
