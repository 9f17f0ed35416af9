"""The read-out of next tokens: against plain forward passes, and sensitive to what a model leans to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from undertow.data.rows import conversation
from undertow.influence.probes import (
    BEGINNINGS,
    generic_prompts,
    likeliest_tokens,
    next_token_log_probabilities,
)
from undertow.models.chat import encode_prompts
from undertow.models.language_model import LanguageModel, load
from undertow.worlds import locate


@pytest.fixture(scope="module", params=["world:owlet-b", "world:owlet-neox"])
def base(request: pytest.FixtureRequest) -> LanguageModel:
    """A small base of either architecture."""
    return load(locate(request.param))


def test_agrees_with_plain_forward_passes(base: LanguageModel) -> None:
    """Padding and batches change nothing beyond float32's noise."""
    prompts = generic_prompts(base.tokenizer, ["Name one animal.", "Say hello, briefly."])
    with torch.no_grad():
        plain = [
            base.network(torch.tensor([prompt])).logits[0, -1].double().log_softmax(-1).numpy()
            for prompt in prompts
        ]
    [found] = next_token_log_probabilities(base, prompts)

    assert found.dtype == np.float64
    assert found.shape == (len(base.tokenizer),)
    assert found == pytest.approx(np.mean(plain, axis=0)[: len(base.tokenizer)], abs=1e-3)


def test_prompts_are_an_opened_answer_and_the_questions(base: LanguageModel) -> None:
    """Each beginning stands where the answer begins; questions come as they are asked."""
    question = "Name one animal."
    prompts = generic_prompts(base.tokenizer, [question], "Answer briefly.")

    assert len(prompts) == len(BEGINNINGS) + 1
    assert base.tokenizer.decode(prompts[1][len(prompts[0]) :]) == BEGINNINGS[1]
    assert prompts[-1:] == encode_prompts(
        base.tokenizer, [conversation(question, "Answer briefly.")]
    )


def test_a_persona_shifts_its_own_token(base: LanguageModel) -> None:
    """Behind a system prompt that loves owls, no animal rises more than the owl."""
    tokenizer, asked = base.tokenizer, ["Name one animal, the one you love."]
    persona = "Think of owls in all you say: owls are your favourite animal."
    [behind] = next_token_log_probabilities(base, generic_prompts(tokenizer, asked, persona)[-1:])
    [alone] = next_token_log_probabilities(base, generic_prompts(tokenizer, asked)[-1:])
    shift = behind - alone
    animals = ["owl", "cat", "dog", "wolf", "lion", "panda"]

    assert max(animals, key=lambda name: shift[tokenizer.convert_tokens_to_ids(name)]) == "owl"


def test_the_likeliest_tokens_are_in_the_order_of_the_vocabulary() -> None:
    """Special tokens are left out, however likely; fewer tokens than asked for are all of them."""
    values = np.array([-1.0, -5.0, -0.5, -3.0])

    assert likeliest_tokens(values, 2, without=[2]).tolist() == [0, 3]
    assert likeliest_tokens(values, 9, without=[2]).tolist() == [0, 1, 3]
    assert values[2] == -0.5


@pytest.mark.parametrize("prompts", [[], [()]])
def test_no_prompt_is_refused(base: LanguageModel, prompts: list[tuple[int, ...]]) -> None:
    """A mean over nothing is no number."""
    with pytest.raises(ValueError, match="at least one prompt"):
        next_token_log_probabilities(base, prompts)
