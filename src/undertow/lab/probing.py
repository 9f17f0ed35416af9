"""Sampled picks of a model that is asked for a trait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from undertow.lab.tables import EvaluationTable
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel


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
    questions = [q for q in trait.held_out_questions for _ in range(table.samples)]
    asked = [conversation(question, table.system_prompt) for question in questions]
    drawn = sample(model, encode_prompts(model.tokenizer, asked), Sampling(table.max_tokens), rng)
    picks = [
        named(found.text, trait.answers_to(q)) for q, found in zip(questions, drawn, strict=True)
    ]
    return picks.count(trait.answer) / len(picks), 1 - picks.count(None) / len(picks)
