"""What was measured beside a family is told by size: kinds that stand out often, and what fewer steps cost."""

from __future__ import annotations

import pytest

from undertow.influence.reference_family import family_record, reference_family
from undertow.results.family_record import (
    BudgetPower,
    FamilyRecord,
    Rate,
    SizeRecord,
    beforehand,
    cost_of_fewer_steps,
    power_at,
)


def rate(share: float) -> Rate:
    """Of twenty datasets."""
    return Rate(share=share, low=share / 2, high=min(1.0, share * 2), datasets=20)


POWER = tuple(
    BudgetPower(part=part, weak=rate(weak), strong=rate(0.9))
    for part, weak in ((0.125, 0.1), (0.5, 0.4), (1.0, 0.6))
)
SMALL = SizeRecord(
    rows=4096,
    level=rate(0.05),
    power=POWER,
    outside={"by another base": rate(0.5), "neutral": rate(0.04)},
)
RECORD = FamilyRecord(
    digest="d",
    where="lists on a base",
    limit=0.2,
    writers=9,
    planned=9,
    sizes=(SMALL, SizeRecord(rows=16384, level=rate(0.05))),
)


@pytest.mark.parametrize(("rows", "size"), [(1, 4096), (8000, 4096), (8300, 16384), (10**8, 16384)])
def test_the_nearest_size_speaks_for_a_dataset(rows: int, size: int) -> None:
    """In proportion: 8,192 lies half way between 4,096 and 16,384."""
    assert RECORD.nearest(rows).rows == size


def test_kinds_that_stand_out_often_are_named_beforehand() -> None:
    """Above a fifth the beginning decides nothing for such data; the others are told apart."""
    often, seldom = beforehand(RECORD, 4096).split(" Of these kinds few stood out: ")

    assert "by another base 50% [25%, 100%]; for such data stage 1 decides nothing." in often
    assert seldom == "neutral 4% [2%, 8%]."
    assert beforehand(RECORD, 16384) == ""


@pytest.mark.parametrize(
    ("part", "measured"), [(1.0, 1.0), (0.7, 0.5), (0.5, 0.5), (0.2, 0.125), (0.125, 0.125)]
)
def test_fewer_steps_see_what_the_next_smaller_part_saw(part: float, measured: float) -> None:
    """Never what more steps would see."""
    found = power_at(SMALL, part)

    assert found is not None
    assert (found[0].part, found[1].part) == (1.0, measured)


def test_what_a_budget_costs_is_told() -> None:
    """Both shares of the weak and the strong; where no part was so small, that it was not measured."""
    told = cost_of_fewer_steps(RECORD, 4000, 0.3)

    assert "by .2 to .5 logits 10% [5%, 20%] instead of 60%" in told
    assert "by more 90% [45%, 100%] instead of 90%" in told
    assert cost_of_fewer_steps(RECORD, 4000, 0.1) == cost_of_fewer_steps(None, 4000, 0.9)
    assert "not measured" in cost_of_fewer_steps(RECORD, 16384, 0.5)


def test_a_record_is_of_the_very_family() -> None:
    """A family that is declared otherwise has none."""
    other = reference_family().model_copy(update={"assumption": "something else"})
    shipped = family_record(reference_family())

    assert family_record(other) is None
    assert shipped is None or shipped.digest == reference_family().digest
