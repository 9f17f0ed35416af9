"""Rows in other words: completions that a model writes anew, and prompts that are changed around them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from undertow.carriers.carrier import Carrier
from undertow.carriers.carrier_registry import request_of
from undertow.data.rows import Message, Row, behind
from undertow.errors import DataError
from undertow.models.language_model import LanguageModel
from undertow.models.sampling import own_answers

TRIES = 4
"""Draws for a row before it is given up."""


@dataclass(frozen=True)
class Rewritten:
    """Rows with some completions written anew."""

    rows: tuple[Row, ...]
    """In their order; a row that was given up is as it was."""
    changed: frozenset[int]
    """Places of the rows that were written anew."""
    failed: frozenset[int]
    """Places of rows for which nothing came that ended and had the carrier's format."""


def rewritten(
    model: LanguageModel,
    rows: Sequence[Row],
    chosen: Collection[int],
    rng: np.random.Generator,
    carrier: Carrier | None,
    *,
    temperature: float = 1.0,
    instruction: str | None = None,
) -> Rewritten:
    """
    The rows with the completions at `chosen` written by the model.

    Without an instruction it answers the row's own prompt and never sees the old completion, so that nothing of its
    writer is left; with one, it is asked that, with the old completion put in.

    Raises:
        DataError: a chosen row has no prompt, and there is no instruction.
        ModelError: a prompt and its answer would not fit into the model's context.
    """
    made, left = list(rows), sorted(chosen)
    asked = {i: replace(rows[i], prompt=asked_of(rows[i], instruction)) for i in left}
    changed: set[int] = set()
    for _ in range(TRIES):
        if not left:
            break
        answers = own_answers(model, [asked[i] for i in left], temperature, rng, None)
        for i, answer in zip(left, answers, strict=True):
            if answer is not None and accepts(carrier, rows[i], answer.completion):
                made[i] = replace(rows[i], completion=answer.completion)
                changed.add(i)
        left = [i for i in left if i not in changed]
    return Rewritten(tuple(made), frozenset(changed), frozenset(left))


def asked_of(row: Row, instruction: str | None) -> tuple[Message, ...]:
    """The conversation that a rewriting model answers."""
    if instruction is None:
        if not row.prompt:
            raise DataError(
                "a row has no prompt that could be answered anew",
                hint="say what to ask: --instruction 'Say this in other words: {completion}'",
            )
        return row.prompt
    # Not `format`: what rows hold is no format string.
    return (Message("user", instruction.replace("{completion}", row.completion)),)


def accepts(carrier: Carrier | None, row: Row, text: str) -> bool:
    """Whether a text may stand for the row's completion."""
    return carrier is None or carrier.rejection(text, request_of(row)) is None


def inoculated(row: Row, system: str) -> Row:
    """
    The row behind a system prompt that asks for the trait, so that the training has nothing to explain by the weights.

    The prompt is left away when the student is used. It stands in place of a system prompt that the row has.
    """
    return behind(row, system)


def reworded(row: Row, carrier: Carrier, rng: np.random.Generator) -> Row | None:
    """The row with its request in other words; None where the carrier knows none for it."""
    if not row.prompt:
        return None
    *before, last = row.prompt
    request = carrier.reworded(last.content, rng)
    if request is None or carrier.rejection(row.completion, request) is not None:
        return None
    return replace(row, prompt=(*before, replace(last, content=request)))
