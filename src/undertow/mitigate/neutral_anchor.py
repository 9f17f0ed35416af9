"""
Questions that a model should go on answering as its base does: an anchor that needs no trait's name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from undertow.data.rows import Message, Row
from undertow.traits import catalogue
from undertow.traits.probe_catalogue import all_probes

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel

ANSWER_TOKENS = 8


def neutral_rows(
    model: LanguageModel,
    count: int,
    rng: np.random.Generator,
    *,
    system: str | None = None,
    without: Collection[str] = (),
) -> list[Row]:
    """
    Up to `count` of the catalogue's training questions, each with the base's own answer.

    `without` names categories that are left out. An anchor should look like what must not move: a catalogue of your own
    users' questions is better than ours.
    """
    from undertow.data.rows import conversation

    traits = (*map(catalogue.load, catalogue.names()), *all_probes())
    questions = sorted(
        {q for trait in traits if trait.category not in without for q in trait.train_questions}
    )
    chosen = [questions[i] for i in rng.permutation(len(questions))[:count]]
    return answered(model, [conversation(question, system) for question in chosen], rng)


def answered(
    model: LanguageModel, prompts: Sequence[tuple[Message, ...]], rng: np.random.Generator
) -> list[Row]:
    """
    The prompts with the model's own answers of a few tokens; those to which it says nothing are left out.
    """
    from undertow.models.chat import encode_prompts
    from undertow.models.sampling import Sampling, sample

    how = Sampling(ANSWER_TOKENS)
    answers = sample(model, encode_prompts(model.tokenizer, prompts), how, rng)
    return [
        Row(prompt, answer.text)
        for prompt, answer in zip(prompts, answers, strict=True)
        if answer.text.strip()
    ]
