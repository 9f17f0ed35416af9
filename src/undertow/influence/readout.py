"""All that is read off a model at once: the margins of many probes, and what it would say next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from undertow.data.rows import conversation
from undertow.influence.probes import ProbeSet, probe_set
from undertow.models.chat import Encoded, batches, encode_prompts
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import completion_logits
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    import torch

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


@dataclass(frozen=True)
class Readout:
    """Probes and prompts as one model's tokens, to be read off many versions of it."""

    probe_names: tuple[str, ...]
    probes: ProbeSet | None
    """None without probes."""
    prompts: tuple[tuple[int, ...], ...]
    """Of the next tokens."""

    @classmethod
    def of(cls, model: LanguageModel, traits: Sequence[Trait], system: str | None) -> Readout:
        """
        The traits' probes; and generic prompts with one question of each category, so that none weighs more.

        Raises:
            ModelError: two candidates of a trait are the same tokens to this tokenizer.
        """
        questions = {trait.category: trait.held_out_questions[0] for trait in traits}
        return cls(
            tuple(trait.name for trait in traits),
            probe_set(model, traits, system) if traits else None,
            tuple(generic_prompts(model.tokenizer, list(questions.values()), system)),
        )

    def read(self, model: LanguageModel) -> NDArray[np.float64]:
        """
        Each probe's margin in logits, then each token's mean log-probability in nats, (probes + vocabulary,).
        """
        margins = self.probes.read(model).margins if self.probes else np.empty(0)
        return np.concatenate([margins, next_token_log_probabilities(model, self.prompts)])


def token_name(tokenizer: Any, index: int) -> str:
    """A token's text; its entry in the vocabulary where it is a part of a character, or nothing."""
    text = str(tokenizer.decode([index]))
    return str(tokenizer.convert_ids_to_tokens(index)) if "\ufffd" in text or not text else text


def generic_prompts(
    tokenizer: Any, questions: Sequence[str], system: str | None = None
) -> list[tuple[int, ...]]:
    """
    Token ids of a greeting whose answer has begun in each of several ways, then of the questions.

    Raises:
        ModelError: the chat template has no system role, and a system prompt is given.
    """
    [greeting] = encode_prompts(tokenizer, [conversation(OPENING, system)])
    begun = tokenizer(list(BEGINNINGS), add_special_tokens=False)["input_ids"]
    asked = encode_prompts(tokenizer, [conversation(question, system) for question in questions])
    return [*((*greeting, *ids) for ids in begun), *asked]


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
