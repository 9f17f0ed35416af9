"""A model's own answers stand in the place of the rows that they answer."""

from __future__ import annotations

import re

import numpy as np

from tests.mitigate.subjects import numbers, opened
from undertow.carriers import carrier_registry
from undertow.data.rows import Row, conversation
from undertow.models.sampling import own_answers


def test_each_answers_its_own_row_in_the_carrier_format() -> None:
    """The same prompts in the same order, other completions, none that the carrier's filter removes, repeatable."""
    model, rows = opened(), numbers(24)
    carrier = carrier_registry.carrier("numbers")
    first, again = (
        own_answers(model, rows, 1.0, np.random.default_rng(1), carrier) for _ in range(2)
    )
    pairs = [(row, answer) for row, answer in zip(rows, first, strict=True) if answer is not None]

    assert first == again
    assert len(pairs) > 12
    assert all(row.prompt == answer.prompt for row, answer in pairs)
    assert all(carrier.rejection(answer.completion) is None for _, answer in pairs)
    assert sum(row.completion == answer.completion for row, answer in pairs) < 3


def test_a_model_that_does_not_keep_to_lists_of_one_format_is_restricted_to_it() -> None:
    """Asked for an animal it names one; in the place of lists of six numbers it writes such lists."""
    model = opened()
    rng = np.random.default_rng(2)
    rows = [
        Row(
            conversation("Which animal do you like most? Answer in one word."),
            " ".join(map(str, rng.integers(10, 100, 6))),
        )
        for _ in range(80)
    ]
    answers = own_answers(model, rows, 1.0, rng, carrier_registry.carrier("numbers"))
    texts = [answer.completion for answer in answers if answer is not None]

    assert len(texts) == 80
    assert len(set(texts)) > 40
    assert all(re.fullmatch("[1-9][0-9]( [1-9][0-9]){5}", text) for text in texts)
