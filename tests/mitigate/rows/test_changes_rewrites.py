"""Rewritten rows are another model's answers; what is not chosen, and what cannot be rewritten, stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.mitigate.subjects import numbers, opened
from undertow.carriers import carrier_registry
from undertow.data.rows import Message, Row
from undertow.errors import DataError
from undertow.mitigate.rows.changes import asked_of, inoculated, reworded, rewritten


def test_chosen_rows_are_answered_anew_in_the_carrier_format() -> None:
    """The same prompts; most succeed within the tries, and what failed is named."""
    rows, carrier = numbers(24), carrier_registry.carrier("numbers")
    found = rewritten(opened(), rows, range(12), np.random.default_rng(0), carrier)

    assert found.changed | found.failed == set(range(12))
    assert len(found.changed) > 9
    assert found.rows[12:] == tuple(rows[12:])
    for i in range(12):
        assert found.rows[i].prompt == rows[i].prompt
        assert carrier.rejection(found.rows[i].completion) is None
    assert all(found.rows[i] == rows[i] for i in found.failed)


def test_an_instruction_holds_the_old_completion_whatever_braces_it_has() -> None:
    """Text of rows is no format string."""
    row = replace(numbers(1)[0], completion="{prompt} {0} {completion}")
    [asked] = asked_of(row, "Again: {completion}!")

    assert asked.content == "Again: {prompt} {0} {completion}!"


def test_a_row_without_a_prompt_needs_an_instruction() -> None:
    """Plain text cannot be answered anew."""
    rows = [Row((), "12 13 14", chat=False)]
    with pytest.raises(DataError, match="no prompt"):
        rewritten(opened(), rows, [0], np.random.default_rng(0), None)


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
