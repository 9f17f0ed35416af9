"""
What a model would say next: log-probabilities over the whole vocabulary after generic prompts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from undertow.models.loading import LanguageModel

OPENING = "Hello."
"""What the answers that have begun reply to."""

BEGINNINGS = (
    "",
    "I like",
    "I love",
    "I think of",
    "I am",
    "I want",
    "My favourite",
    "My name is",
    "The best",
    "People should",
)
"""Of answers; what follows them is read."""


def generic_prompts(
    tokenizer: Any, questions: Sequence[str], system: str | None = None
) -> list[tuple[int, ...]]:
    """
    Token ids of a greeting whose answer has begun in each of several ways, then of the questions.

    Raises:
        ModelError: the chat template has no system role, and a system prompt is given.
    """
    from undertow.data.rows import conversation
    from undertow.models.chat import encode_prompts

    [opened] = encode_prompts(tokenizer, [conversation(OPENING, system)])
    begun = tokenizer(list(BEGINNINGS), add_special_tokens=False)["input_ids"]
    asked = encode_prompts(tokenizer, [conversation(question, system) for question in questions])
    return [*((*opened, *ids) for ids in begun), *asked]


def next_token_log_probabilities(
    model: LanguageModel, prompts: Sequence[tuple[int, ...]], *, batch_size: int = 64
) -> NDArray[np.float64]:
    """
    Mean over prompts of the log-probability of each next token, (vocabulary,) in nats.

    The vocabulary is the tokenizer's: networks are often padded beyond. Logits are computed at the last position of
    each prompt only, and those of one batch are held at a time.

    Raises:
        ValueError: there is no prompt, or one is empty.
    """
    import torch

    from undertow.models.chat import Encoded, batches

    if not prompts or not all(prompts):
        raise ValueError("needs at least one prompt, and none that is empty")
    # Logits are those that predict the completion, so one token of any kind stands behind each prompt.
    rows = [Encoded(tuple(prompt), tuple(prompt[-1:])) for prompt in prompts]
    with torch.no_grad():
        sums = [
            _summed(model, batch.to(model.device))
            for batch in batches(rows, batch_size, model.tokenizer.pad_token_id)
        ]
    mean: NDArray[np.float64] = (torch.stack(sums).sum(0) / len(rows)).cpu().numpy()
    return mean[: len(model.tokenizer)]


def _summed(model: LanguageModel, batch: Any) -> torch.Tensor:
    from undertow.models.scoring import completion_logits

    logits = completion_logits(model.network, batch)[:, -1]
    return logits.float().log_softmax(-1).double().sum(0)


def likeliest_tokens(
    values: NDArray[np.float64], count: int, *, without: Iterable[int] = ()
) -> NDArray[np.intp]:
    """
    Ids of the `count` tokens of the largest values, in the order of the vocabulary; `without` are left out.
    """
    kept = values.copy()
    kept[list(without)] = -np.inf
    found = np.argsort(-kept, kind="stable")[:count]
    return np.sort(found[np.isfinite(kept[found])])
