"""What each check is said to take: every one of the registry, no other than those that are asked, and each model counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.audit.test_model_placing import SIZE, costs
from undertow.audit.accelerators import machine_of
from undertow.audit.check_prices import (
    CONTROL,
    COUNTED,
    ROWS,
    CheckPrice,
    ModelWork,
    ScanSize,
    check_prices,
    taken,
)
from undertow.audit.model_placing import Placing
from undertow.checks.registry import DATASET, Registered, chosen_checks
from undertow.data.plan import TrainingPlan

SCAN = ScanSize(TrainingPlan(epochs=1), 10_000, SIZE, 900, 19, 26_000)
STUDENT = costs(7 * 10**9)
WHERE = Placing(STUDENT, machine_of("H100-80GB@2.5"), "whole", packed=False)
MODELS = {"teacher": STUDENT, "candidates": (STUDENT,), "placebos": (STUDENT,)}


def priced(*checks: str, where: Placing = WHERE, **changes: Any) -> dict[str, CheckPrice]:
    """By label; of every check if none is named."""
    prices = check_prices(replace(SCAN, **changes), where, chosen_checks("dataset", checks))
    return {price.label: price for price in prices}


def test_every_check_of_the_registry_is_priced() -> None:
    """No check is left out, none is priced that is not there, and each takes time or says why it takes none."""
    prices = priced()
    checks = {price.check for price in prices.values()}

    assert set(COUNTED) == set(DATASET)
    assert checks == {ROWS, CONTROL, *chosen_checks_of_all()}
    assert all(price.seconds > 0 or price.note for price in prices.values())


def chosen_checks_of_all() -> set[str]:
    """Ids of the registry's checks of a dataset."""
    return {check.id for check in chosen_checks("dataset", ())}


def test_only_what_is_asked_is_priced() -> None:
    """With the pass over the rows, the control where evidence is asked for, and the whole plan that a beginning may lead to."""
    assert set(priced("content")) == {ROWS, CONTROL, "content"}
    assert set(priced("rehearsal")) == {
        *(ROWS, "rehearsal: rows", "rehearsal: references", "whole-plan")
    }
    assert set(priced("content", whole=True)) == {ROWS, CONTROL, "content", "whole-plan"}


def test_a_whole_plan_that_nothing_leads_to_costs_nothing() -> None:
    """Named alone it is not run: it stands behind the beginning, or is asked for."""
    assert priced("whole-plan")["whole-plan"].seconds == 0
    assert "--require clear" in priced("whole-plan")["whole-plan"].note
    assert priced("whole-plan", whole=True)["whole-plan"].seconds > 0


def test_each_further_model_is_counted_where_it_is_asked() -> None:
    """A teacher by two checks, a candidate by the author's, a placebo by the null; all other prices stay as they are."""
    before = priced()
    moved = {
        kind: {label for label, price in priced(**{kind: model}).items() if price != before[label]}
        for kind, model in MODELS.items()
    }

    assert moved == {
        "teacher": {"teacher-coverage", "divergence"},
        "candidates": {"author"},
        "placebos": {"likelihood-ratio"},
    }
    assert before["divergence"].seconds == 0
    assert "--teacher" in before["divergence"].note


def test_a_larger_candidate_costs_more() -> None:
    """By its own weights, not by the student's."""
    small, large = (
        priced("author", candidates=(costs(size * 10**9),))["author"].operations for size in (7, 70)
    )

    assert large - small == pytest.approx(63 / 7 * priced("author")["author"].operations)


def test_gradients_of_all_weights_need_whole_ones() -> None:
    """Where weights are packed or split, the teacher's coverage does not apply: nothing, and it says so."""
    packed = replace(WHERE, packed=True)

    assert priced("teacher-coverage", teacher=STUDENT)["teacher-coverage"].operations > 0
    refused = priced("teacher-coverage", where=packed, teacher=STUDENT)["teacher-coverage"]
    assert refused.seconds == 0
    assert "no gradient" in refused.note


def test_each_source_is_a_subject() -> None:
    """Two sources of half the rows each cost what both halves do, beside the whole."""
    whole, half = priced("rehearsal"), priced("rehearsal", rows=5_000)
    both = priced("rehearsal", sources=(5_000, 5_000))
    label = "rehearsal: references"

    assert both[label].operations == pytest.approx(
        whole[label].operations + 2 * half[label].operations
    )
    twice = priced("rehearsal", otherwise=True)[label].operations
    assert twice == pytest.approx(2 * whole[label].operations)


def test_what_is_given_is_not_made() -> None:
    """A given control is not drawn, and given references are trained on alone."""
    assert priced(given_control=True)[CONTROL].seconds == 0
    made, given = (
        priced(given_references=count)["rehearsal: references"].seconds for count in (0, 19)
    )
    assert given < made


def test_prices_grow_with_what_is_trained() -> None:
    """Twice the references cost twice the operations, and the rows' own training what it did."""
    few, many = priced(references=10), priced(references=20)
    label = "rehearsal: references"

    assert many[label].operations == pytest.approx(2 * few[label].operations)
    assert many["rehearsal: rows"] == few["rehearsal: rows"]


def test_a_sample_bounds_what_checks_read() -> None:
    """100 million rows cost evidence what 10,000 do; the pass over them grows with their number."""
    few, many = priced("content"), priced("content", rows=10**8)

    assert many["content"] == few["content"]
    assert many[ROWS].seconds == pytest.approx(10**4 * few[ROWS].seconds)
    assert priced("content", reading=3.0)[ROWS].seconds == 3.0


def test_a_cost_is_hours_times_the_price_of_one() -> None:
    """Of every accelerator that the scan holds; without a price there is no cost."""
    eight = Placing(STUDENT, machine_of("8xH100-80GB@2.5"), "tensor", packed=False)
    for where, held in ((WHERE, 1), (eight, 8)):
        for price in priced(where=where, **MODELS).values():
            assert price.hours(where) == pytest.approx(held * price.seconds / 3600)
            assert price.cost(where) == pytest.approx(2.5 * price.hours(where))
    assert price.cost(replace(WHERE, machine=machine_of("H100-80GB"))) is None


def test_a_small_model_waits_for_its_host() -> None:
    """A step of few weights takes what calling for its layers takes, and that of many rows of many weights what they do."""
    small, accelerator = costs(10**6), WHERE.machine.accelerator
    _, waiting = taken(ModelWork(trained=16, steps=1, costs=small), SIZE, WHERE)
    _, computing = taken(ModelWork(trained=10**5, steps=1), SIZE, WHERE)

    assert waiting == pytest.approx(32 * accelerator.step)
    assert computing > 1e5 * 7e9 * 400 / accelerator.operations


def test_weights_are_read_more_often_where_fewer_caches_have_room() -> None:
    """33 rows at a time in place of 256 take nearly eight times as many steps; operations are the same."""
    tight = replace(WHERE, costs=replace(STUDENT, drawn=1e9))
    work = ModelWork(drawn=10**4)
    (operations, seconds), (others, longer) = (taken(work, SIZE, one) for one in (WHERE, tight))

    assert operations == others
    assert 4 * seconds < longer < 8 * seconds


def test_a_check_of_another_package_is_said_not_to_be_counted() -> None:
    """It has its line, and no price that nobody knows."""
    foreign = Registered("theirs", "evidence", "", DATASET["content"][2])
    *_, price = check_prices(SCAN, WHERE, [foreign])

    assert (price.label, price.seconds) == ("theirs", 0)
    assert "another package" in price.note
