"""The attacker's datasets are what their strategies say."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.power.adversary_rows import (
    TRIES,
    Material,
    beyond_the_sample,
    largest_within,
    mixed,
    selected,
)
from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.influence.probes import probe_set
from undertow.traits import catalogue
from undertow.worlds.base_models import open_model


def _rows(word: str, count: int) -> tuple[Row, ...]:
    return tuple(Row(conversation(f"{i}"), f"{word} {i}") for i in range(count))


OWN, BASE = _rows("12", 40), _rows("34", 40)


def test_a_larger_dose_holds_every_row_of_a_smaller_one() -> None:
    """Doses are nested, and have the share that they say."""
    some, more = mixed(OWN, BASE, 0.25, 3), mixed(OWN, BASE, 0.5, 3)
    taken = [[row in OWN for row in rows] for rows in (some, more)]
    assert [sum(one) for one in taken] == [10, 20]
    assert all(b for a, b in zip(*taken, strict=True) if a)


def test_the_largest_dose_that_passes_is_found_to_within_a_bisection() -> None:
    """A screen that stands out from a dose of .4 on lets .375 through, and TRIES scans find it."""
    scans = []

    def p(rows: Sequence[Row]) -> float:
        dose = sum(row in OWN for row in rows) / len(rows)
        scans.append(dose)
        return 0.05 if dose >= 0.4 else 0.1

    rows, dose = largest_within(OWN, BASE, p, 3)
    assert dose == 0.375
    assert sum(row in OWN for row in rows) == 15
    assert len(scans) == TRIES


def test_what_passes_whole_is_handed_over_whole() -> None:
    """No row is given up without need."""
    assert largest_within(OWN, BASE, lambda rows: 1.0, 3) == (list(OWN), 1.0)


def test_the_sample_holds_none_of_the_teachers_rows() -> None:
    """Where stage 1 looks there is nothing but the base's answers, and nothing of them elsewhere."""
    rows = beyond_the_sample(Material((OWN,), BASE), 10)
    assert rows[:10] == list(BASE[:10])
    assert rows[10:] == list(OWN[10:])


def test_a_selection_answers_each_prompt_once_and_leaves_the_base_alone() -> None:
    """Every row is one of the teacher's answers to its prompt; the network is what it was."""
    other = _rows("56", 40)
    base = open_model("world:owlet-a")
    before = {name: w.clone() for name, w in base.network.state_dict().items()}
    probes = probe_set(base, [catalogue.load("owl")], None)
    plan = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=4)
    made = selected(base, Material((OWN, other), BASE), 0, probes, plan, 1)
    pairs = list(zip(made, OWN, other, strict=True))
    assert all(row in (first, second) for row, first, second in pairs)
    assert any(row == first for row, first, _ in pairs)
    assert any(row == second for row, _, second in pairs)
    after = base.network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(before[name], after[name]) for name in before)
