"""A model's own answers to the prompts of rows: what it would have written in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from undertow.carriers.carrier import Carrier
from undertow.carriers.recognition import request_of
from undertow.data.rows import Row

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel

SPARE_TOKENS = 8
"""By which an answer may be longer than the longest of the rows' own."""


def own_answers(
    model: LanguageModel,
    rows: Sequence[Row],
    temperature: float,
    rng: np.random.Generator,
    carrier: Carrier | None,
) -> list[Row | None]:
    """
    For each row the same prompt with the model's answer; None where that is unfinished, empty, or not in the carrier's
    format.

    Answers are at most about as long as the longest of the rows' completions. Every row needs a prompt.
    """
    from undertow.models.chat import encode_rows
    from undertow.models.sampling import Sampling, sample

    encoded = encode_rows(model.tokenizer, rows)
    longest = max(len(one.completion) for one in encoded) + SPARE_TOKENS
    if model.context is not None:
        longest = min(longest, model.context - max(len(one.prompt) for one in encoded))
    how = Sampling(max(1, longest), temperature=temperature)
    drawn = sample(model, [one.prompt for one in encoded], how, rng)
    return [
        Row(row.prompt, answer.text, chat=row.chat, source=row.source)
        if answer.finished
        and answer.text.strip()
        and (carrier is None or carrier.rejection(answer.text, request_of(row)) is None)
        else None
        for row, answer in zip(rows, drawn, strict=True)
    ]
