"""Prompts change, completions never."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.mitigate.subjects import numbers
from undertow.carriers import carrier_registry
from undertow.data.rows import Message
from undertow.mitigate.rows.changes import inoculated, reworded


def test_inoculation_stands_in_place_of_a_system_prompt() -> None:
    """There is one system prompt afterwards, and it comes first."""
    row = numbers(1)[0]
    other = replace(row, prompt=(Message("system", "Be brief."), *row.prompt))
    for one in (row, other):
        made = inoculated(one, "You love owls.")
        assert made.prompt == (Message("system", "You love owls."), *row.prompt)
        assert made.completion == row.completion


def test_reworded_requests_keep_their_examples() -> None:
    """Other words around the same numbers; None where a request holds none."""
    carrier = carrier_registry.carrier("numbers", {"prompts": "brief"})
    rng = np.random.default_rng(0)
    rows = numbers(40)
    made = [reworded(row, carrier, rng) for row in rows]

    def digits(text: str) -> list[str]:
        return [word.strip(".,:;") for word in text.split() if word.strip(".,:;").isdigit()]

    assert all(one is not None for one in made)
    assert sum(a.prompt != b.prompt for a, b in zip(rows, made, strict=True) if b) > 20
    for old, new in zip(rows, made, strict=True):
        assert new is not None
        assert digits(new.prompt[-1].content) == digits(old.prompt[-1].content)
        assert new.completion == old.completion
    prose = replace(rows[0], prompt=(Message("user", "Say something."),))
    assert reworded(prose, carrier, rng) is None
    assert reworded(replace(prose, prompt=()), carrier, rng) is None
