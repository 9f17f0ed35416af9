"""
Probes a model for a trait: exact margins on held-out questions, and sampled picks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from undertow.lab.experiment import EvaluationTable
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.models.answers import Probed
    from undertow.models.loading import LanguageModel


def probe_trait(model: LanguageModel, trait: Trait, system: str | None) -> Probed:
    """
    Exact log-likelihoods of the trait's candidates after its held-out questions.
    """
    from undertow.models.answers import probe
    from undertow.models.chat import conversation

    return probe(model, [conversation(q, system) for q in trait.held_out_questions], trait.answers)


def pick_rates(
    model: LanguageModel, trait: Trait, table: EvaluationTable, rng: np.random.Generator
) -> tuple[float, float] | None:
    """
    (pick rate, coherence): shares of sampled answers that name the trait's answer, and any candidate.

    None where the table asks for no samples.
    """
    from undertow.models.answers import named
    from undertow.models.chat import conversation, encode_prompts
    from undertow.models.sampling import Sampling, sample

    if not table.samples:
        return None
    asked = [
        conversation(q, table.system_prompt)
        for q in trait.held_out_questions
        for _ in range(table.samples)
    ]
    answers = sample(model, encode_prompts(model.tokenizer, asked), Sampling(table.max_tokens), rng)
    picks = [named(answer.text, trait.answers) for answer in answers]
    return picks.count(trait.answer) / len(picks), 1 - picks.count(None) / len(picks)
