"""Advice stays under the limit by the upper ends of what the whole plan measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.audit.verdicts import advice, safe_steps
from undertow.results.measurement import Measurement


def moved(trait: str, estimate: float, high: float, **at_most: float) -> Measurement:
    """A trait with an upper limit at the end and, by step, on the way."""
    return Measurement(
        check="whole-plan",
        subject="all",
        trait=trait,
        estimate=estimate,
        low=2 * estimate - high,
        high=high,
        limit=0.2,
        details={f"at most at step {name[1:]}": value for name, value in at_most.items()},
    )


@pytest.mark.parametrize(
    ("estimate", "high", "dose", "by_estimate"),
    [(0.4, 0.8, 0.25, 0.5), (0.1, 0.4, 0.5, 1.0), (0.0, 0.1, 1.0, 1.0), (-0.3, -0.1, 1.0, 1.0)],
)
def test_a_dose_moves_its_share_at_most(
    estimate: float, high: float, dose: float, by_estimate: float
) -> None:
    """By the upper end, and by the estimate beside it; all of the rows where nothing is over the limit."""
    given = advice([moved("owl", estimate, high)])

    assert given["largest_safe_dose"] == pytest.approx(dose)
    assert given["dose_of_estimate"] == pytest.approx(by_estimate)


@pytest.mark.parametrize(
    ("estimate", "high", "surely"), [(0.6, 0.8, 0.5), (0.4, 0.8, 1.0), (-0.3, -0.1, 1.0)]
)
def test_the_dose_by_the_lower_end_is_surely_too_much(
    estimate: float, high: float, surely: float
) -> None:
    """Between it and the advised one the limit is reached; all of the rows where that is not sure of any share."""
    assert advice([moved("owl", estimate, high)])["dose_of_lower_end"] == pytest.approx(surely)


@given(
    st.lists(st.tuples(st.floats(-2, 2), st.floats(0, 2)), min_size=1, max_size=5),
)
def test_the_dose_by_the_upper_end_is_the_smaller(effects: list[tuple[float, float]]) -> None:
    """Whatever the traits; by either, no trait's end is over the limit at that dose in a straight line."""
    measured = [moved("owl", estimate, estimate + half) for estimate, half in effects]
    given = advice(measured)
    dose, by_estimate = given["largest_safe_dose"], given["dose_of_estimate"]

    assert isinstance(dose, float)
    assert isinstance(by_estimate, float)
    assert 0 < dose <= by_estimate <= 1
    assert all(dose * (estimate + half) <= 0.2 + 1e-9 for estimate, half in effects)
    assert all(by_estimate * estimate <= 0.2 + 1e-9 for estimate, _ in effects)


def test_steps_are_those_before_any_trait_may_reach_the_limit() -> None:
    """The last reading of an unbroken row of safe ones, over all traits."""
    owl = moved("owl", 0.5, 0.9, s8=0.05, s16=0.15, s24=0.3, s32=0.9)
    cat = moved("cat", 0.0, 0.1, s8=0.1, s16=0.1, s24=0.1, s32=0.1)
    late = moved("dog", 0.1, 0.15, s8=0.1, s16=0.25, s24=0.1, s32=0.15)

    assert safe_steps([owl, cat], 0.2) == 16
    assert safe_steps([owl, cat, late], 0.2) == 8
    assert safe_steps([cat], 0.2) == 32
    assert safe_steps([moved("owl", 0.5, 0.9, s8=0.2, s16=0.1)], 0.2) is None
    assert safe_steps([], 0.2) is None


def test_without_an_effect_nothing_is_advised() -> None:
    """No limit, no advice."""
    assert advice([]) == {}
