"""Penalties are 0 where nothing moved, below what they stand for, and hold what they name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.mitigate.subjects import numbers, opened, taught
from undertow.errors import ConfigError
from undertow.influence.probes import probe_set
from undertow.mitigate.training.interventions import Penalised
from undertow.mitigate.training.penalties import (
    Anchor,
    Corridor,
    _coarse_divergence,
    annealed,
    neutral_rows,
)
from undertow.traits import catalogue

OWL = catalogue.load("owl")


def margin(model: object) -> float:
    """Of the owl, on held-out wordings."""
    probes = probe_set(model, [OWL], None)  # type: ignore[arg-type]
    return float(probes.read(model).margins[0])  # type: ignore[arg-type]


def test_the_kept_tokens_give_at_most_the_whole_divergence() -> None:
    """Statement 6 of docs/theory.md, over 1,000 random pairs; with all tokens kept it is the divergence itself."""
    stream = torch.Generator().manual_seed(0)
    log_p = torch.randn(1000, 40, generator=stream).mul(2).log_softmax(-1)
    log_q = torch.randn(1000, 40, generator=stream).mul(2).log_softmax(-1)
    whole = (log_p.exp() * (log_p - log_q)).sum(-1)
    for kept in (4, 40):
        top, tokens = log_p.topk(kept, dim=-1)
        found = torch.stack(
            [
                _coarse_divergence(top[i : i + 1], log_q[i : i + 1], tokens[i : i + 1])
                for i in range(1000)
            ]
        )
        assert (found <= whole + 1e-5).all()
        if kept == 40:
            assert found.tolist() == pytest.approx(whole.tolist(), abs=1e-5)


def test_an_anchor_is_nothing_at_the_base_and_grows_away_from_it() -> None:
    """Up to the half precision in which the base's predictions are kept; annealed it falls in a straight line."""
    model, (tuned, _) = opened(), taught()
    rows = neutral_rows(model, 64, np.random.default_rng(0))
    anchor = Anchor(rows, 2.0, np.random.default_rng(1))
    anchor.begin(model)
    late = Anchor(rows, 2.0, np.random.default_rng(1), at=annealed)
    late.begin(model)
    away = float(anchor(tuned, 0.75).detach())

    assert float(anchor(model, 0.0).detach()) == pytest.approx(0, abs=2e-3)
    assert away > 0.05
    # The first draw of `late` is that of the second call, at a quarter of the weight.
    late(model, 0.0)
    assert float(late(tuned, 0.75).detach()) == pytest.approx(away / 4, rel=0.3)


def test_an_anchor_holds_what_training_would_move() -> None:
    """Even the very answers that are taught: a third of the owl's rise at least, with a penalty at every step."""
    base = opened()
    rows = neutral_rows(base, 128, np.random.default_rng(0))
    held = Penalised([Anchor(rows, 10.0, np.random.default_rng(1))])
    free, _ = taught()
    anchored, done = taught(held)
    start = margin(base)

    assert len(held.history) == done.steps
    assert margin(free) - start > 1
    assert margin(anchored) - start < 0.67 * (margin(free) - start)


def test_a_corridor_costs_nothing_inside_and_the_square_outside() -> None:
    """A width of twice the change is free; without width it is the change squared times the weight."""
    from undertow.influence.probes import margins, training_probes

    base, (tuned, _) = opened(), taught()
    with torch.no_grad():
        read = [margins(model, training_probes(model, [OWL], None)) for model in (tuned, base)]
    moved = float(read[0] - read[1])
    wide, none = Corridor([OWL], 3.0, high=2 * moved), Corridor([OWL], 3.0, low=0.0, high=0.0)
    for corridor in (wide, none):
        corridor.begin(base)

    assert float(wide(tuned, 0.0).detach()) == 0
    assert float(none(tuned, 0.0).detach()) == pytest.approx(3 * moved**2, rel=1e-6)


def test_what_makes_no_penalty_is_refused() -> None:
    """No rows, no traits, no weight, a corridor that the start lies outside of."""
    model, rng = opened(), np.random.default_rng(0)
    for wrong in (
        Anchor([], 1.0, rng),
        Anchor(numbers(2), 0.0, rng),
        Corridor([], 1.0),
        Corridor([OWL], float("nan")),
        Corridor([OWL], 1.0, low=0.1, high=0.2),
    ):
        with pytest.raises(ConfigError):
            wrong.begin(model)


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
