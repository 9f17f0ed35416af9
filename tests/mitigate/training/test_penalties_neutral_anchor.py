"""An anchor's rows: training questions of the catalogue, answered by the base."""

from __future__ import annotations

import numpy as np

from tests.mitigate.subjects import opened
from undertow.mitigate.training.penalties import neutral_rows
from undertow.traits import catalogue


def test_held_out_questions_and_left_out_categories_are_not_among_them() -> None:
    """So that what measures a trait is never what holds it."""
    model = opened()
    animals = catalogue.load_category("animal")
    mine = {q for trait in animals for q in trait.train_questions}
    held_out = {q for trait in animals for q in trait.held_out_questions}
    rows = neutral_rows(model, 400, np.random.default_rng(0))
    asked = {row.prompt[-1].content for row in rows}
    elsewhere = neutral_rows(model, 400, np.random.default_rng(0), without=["animal"])

    assert asked & mine
    assert not asked & held_out
    assert not {row.prompt[-1].content for row in elsewhere} & mine
    assert len(asked) == len(rows)
    assert rows == neutral_rows(model, 400, np.random.default_rng(0))


def test_a_system_prompt_stands_before_every_question() -> None:
    """An anchor is asked as the students will be."""
    rows = neutral_rows(opened(), 8, np.random.default_rng(0), system="You are kind.")

    assert rows
    assert all(row.prompt[0].content == "You are kind." for row in rows)
