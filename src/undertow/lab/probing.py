"""
Probes a model for a trait: exact margins on held-out questions, and sampled picks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from undertow.lab.tables import EvaluationTable
from undertow.traits.trait import Answer, Trait

if TYPE_CHECKING:
    from undertow.models.answers import Probed
    from undertow.models.loading import LanguageModel


def probe_trait(model: LanguageModel, trait: Trait, system: str | None) -> Probed:
    """
    Exact log-likelihoods of the trait's candidates after its held-out questions, each among its own candidates.
    """
    import torch

    from undertow.models.answers import Probed, probe
    from undertow.models.chat import conversation

    groups: dict[tuple[Answer, ...], list[int]] = {}
    for index, question in enumerate(trait.held_out_questions):
        groups.setdefault(trait.answers_to(question), []).append(index)
    parts = torch.empty(len(trait.held_out_questions), len(trait.answers), dtype=torch.float64)
    for answers, indices in groups.items():
        asked = [conversation(trait.held_out_questions[i], system) for i in indices]
        parts[indices] = probe(model, asked, answers).log_likelihoods
    return Probed(tuple(answer.name for answer in trait.answers), parts)


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
