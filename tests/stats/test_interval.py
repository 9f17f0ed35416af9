"""The interval refuses what no interval can be."""

from __future__ import annotations

import math

import pytest

import undertow.stats
from undertow.stats import Interval


@pytest.mark.parametrize(
    ("low", "high", "level", "message"),
    [
        (0.0, 1.0, 1.0, r"level must lie in \(0, 1\), got 1.0"),
        (math.nan, 1.0, 0.9, "interval holds NaN"),
        (2.0, 1.0, 0.9, "low 2.0 is above high 1.0"),
    ],
)
def test_refuses_what_it_cannot_hold(low: float, high: float, level: float, message: str):
    """The message says the value."""
    with pytest.raises(ValueError, match=message):
        Interval(0.5, low, high, level, 4)


def test_width_is_the_distance_of_the_limits():
    """Infinite limits give an infinite width."""
    assert Interval(0.5, 0.0, 2.0, 0.9, 4).width == 2.0
    assert math.isinf(Interval(0.5, -math.inf, math.inf, 0.9, 4).width)


def test_public_names_are_sorted_and_exist():
    """`__all__` is the public API."""
    assert undertow.stats.__all__ == sorted(undertow.stats.__all__)
    assert all(hasattr(undertow.stats, name) for name in undertow.stats.__all__)
