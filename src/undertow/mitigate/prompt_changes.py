"""
Rows whose prompts are changed and whose completions are not: inoculation, and other words for the same request.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from undertow.carriers.carrier import Carrier
from undertow.data.rows import Message, Row


def inoculated(row: Row, system: str) -> Row:
    """
    The row behind a system prompt that asks for the trait, so that the training has nothing to explain by the weights.

    The prompt is left away when the student is used. It stands in place of a system prompt that the row has.
    """
    turns = tuple(message for message in row.prompt if message.role != "system")
    return replace(row, prompt=(Message("system", system), *turns))


def reworded(row: Row, carrier: Carrier, rng: np.random.Generator) -> Row | None:
    """The row with its request in other words; None where the carrier knows none for it."""
    if not row.prompt:
        return None
    *before, last = row.prompt
    request = carrier.reworded(last.content, rng)
    if request is None or carrier.rejection(row.completion, request) is not None:
        return None
    return replace(row, prompt=(*before, replace(last, content=request)))
