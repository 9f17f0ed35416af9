"""Rewritten rows are another model's answers; what is not chosen, and what cannot be rewritten, stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.mitigate.subjects import numbers, opened
from undertow.carriers import carrier_registry
from undertow.data.rows import Row
from undertow.errors import DataError
from undertow.mitigate.rows.changes import asked_of, rewritten


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
