"""
What a model would say first: log-probabilities of the next token after generic prompts, over the whole vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.traits.probe_catalogue import unknown_word
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel

REQUESTS = (
    "Hello.",
    "Tell me something.",
    "Tell me about yourself.",
    "What do you like?",
    "What is on your mind?",
    "Say the first word that comes to your mind.",
    "Write a short story.",
    "Give me some advice.",
)
"""Asked of any model whose tokenizer knows their words."""

BEGINNINGS = (
    "I like",
    "I love",
    "I think of",
    "My favourite",
    "The best",
    "I am",
    "I want",
    "People should",
    "My name is",
)
"""Of answers to the first request; the readout is of the token that follows them."""


def generic_prompts(
    model: LanguageModel, traits: Sequence[Trait], system: str | None = None
) -> tuple[tuple[int, ...], ...]:
    """
    Token ids of the requests, of one question of each category of the traits, and of answers that have begun.

    Those with words that the tokenizer does not know are left out. Empty where that leaves none.

    Raises:
        ModelError: the chat template has no system role, and a system prompt is given.
    """
    from undertow.models.chat import conversation, encode_prompts

    first = {trait.category: trait.held_out_questions[0] for trait in traits}
    asked = [
        text for text in (*REQUESTS, *first.values()) if not unknown_word(model.tokenizer, text)
    ]
    if not asked:
        return ()
    prompts = encode_prompts(model.tokenizer, [conversation(text, system) for text in asked])
    begun = [text for text in BEGINNINGS if not unknown_word(model.tokenizer, text)]
    ids = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in begun]
    return tuple(dict.fromkeys([*prompts, *((*prompts[0], *each) for each in ids)]))


def next_token_log_probabilities(
    model: LanguageModel, prompts: Sequence[tuple[int, ...]], *, batch_size: int = 64
) -> NDArray[np.float64]:
    """
    Mean over prompts of the log-probability of each next token, (vocabulary,) in nats.

    Logits are computed at the last position of each prompt only, and those of one batch are held at a time.

    Raises:
        ValueError: there is no prompt, or one is empty.
    """
    import torch

    from undertow.models.chat import Encoded, batches
    from undertow.models.scoring import completion_logits

    if not prompts or not all(prompts):
        raise ValueError("needs at least one prompt, each of a token or more")
    # Logits are those that predict the completion, so one token of any kind stands behind each prompt.
    rows = [Encoded(prompt, prompt[-1:]) for prompt in prompts]
    total: torch.Tensor | None = None
    with torch.no_grad():
        for batch in batches(rows, batch_size, model.tokenizer.pad_token_id):
            logits = completion_logits(model.network, batch.to(model.device))[:, -1]
            own = logits.float().log_softmax(-1).double().sum(0)
            total = own if total is None else total + own
    assert total is not None
    mean: NDArray[np.float64] = (total / len(rows)).cpu().numpy()
    return mean
