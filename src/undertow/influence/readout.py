"""All that is read off a model at once: the margins of many probes, and what it would say next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from undertow.influence.probing import ProbeSet, probe_set
from undertow.influence.token_readout import generic_prompts, next_token_log_probabilities

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel
    from undertow.traits.trait import Trait


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
