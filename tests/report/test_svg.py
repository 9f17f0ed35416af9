"""Axes hold what they are made for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from undertow.report.svg import linear_axis, log_axis

FINITE = st.floats(-1e12, 1e12)


@given(st.lists(FINITE, min_size=1, max_size=20))
def test_a_linear_axis_holds_its_values(values: list[float]) -> None:
    """Every value lies between the ends, with a readable number of ticks in order."""
    axis = linear_axis(values)
    margin = 1e-6 * max(abs(axis.low), abs(axis.high))

    assert axis.low - margin <= min(values) <= max(values) <= axis.high + margin
    assert 2 <= len(axis.ticks) <= 12
    assert [tick.at for tick in axis.ticks] == sorted(tick.at for tick in axis.ticks)


@given(st.lists(st.floats(1e-200, 1e200), min_size=1, max_size=20))
def test_a_logarithmic_axis_holds_its_values(values: list[float]) -> None:
    """Every value lies between whole powers of ten."""
    axis = log_axis(values)

    assert axis.low <= min(values) * (1 + 1e-9)
    assert axis.high >= max(values) * (1 - 1e-9)
    assert 2 <= len(axis.ticks) <= 9


@given(st.lists(FINITE, min_size=2, max_size=9, unique=True))
def test_larger_values_lie_further_along(values: list[float]) -> None:
    """Positions keep the order, between 0 and 100."""
    axis = linear_axis(values)
    places = [axis.at(value) for value in sorted(values)]

    assert places == sorted(places)
    assert all(0 <= place <= 100 for place in places)


def test_known_ticks() -> None:
    """Round steps, percentages for shares."""
    assert [tick.label[:-2] for tick in linear_axis([0, 0.63], share=True).ticks] == [
        "0",
        "20",
        "40",
        "60",
        "80",
    ]
    assert [tick.label for tick in linear_axis([-0.4, 2.5]).ticks] == ["−1", "0", "1", "2", "3"]


def test_a_logarithm_of_nothing_is_the_lower_end() -> None:
    """Zero and negative values have no place on a logarithmic axis but its end."""
    axis = log_axis([0.01, 1.0])

    assert axis.at(0.0) == axis.at(-1.0) == 0.0
    assert axis.at(0.1) == 50.0
