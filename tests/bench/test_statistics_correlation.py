"""Rank correlation: against scipy, properties, coverage, and perfect orders."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from bench.statistics import rank_correlation

points = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=6)


def test_a_perfect_order_of_five_gives_two_in_120():
    """Only the same and the reversed order are as extreme."""
    result = rank_correlation([1, 2, 3, 4, 5], [2, 4, 8, 16, 32])

    assert result.estimate == pytest.approx(1.0)
    assert result.p == result.smallest_p == pytest.approx(2 / 120)
    assert result.interval.low < 1.0 == result.interval.high


def test_known_limits_by_hand():
    """Three neighbours exchanged among six: r = 1 - 36/210, limits of Bonett and Wright."""
    result = rank_correlation([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5])

    assert result.estimate == pytest.approx(1 - 36 / 210)
    assert result.interval.low == pytest.approx(-0.1272449, abs=1e-6)
    assert result.interval.high == pytest.approx(0.9864823, abs=1e-6)


@settings(max_examples=15, deadline=None)  # scipy ranks each order anew
@given(points)
def test_agrees_with_scipy(pairs: list[tuple[int, int]]):
    """Same correlation and same exact p as scipy, ties included."""
    x, y = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    result = rank_correlation(x, y)
    reference = scipy_stats.permutation_test(
        (x,),
        lambda a: round(abs(scipy_stats.spearmanr(a, y).statistic), 9),
        permutation_type="pairings",
        n_resamples=np.inf,
        alternative="greater",
        vectorized=False,
    )

    assert result.estimate == pytest.approx(scipy_stats.spearmanr(x, y).statistic, abs=1e-12)
    assert result.p == pytest.approx(reference.pvalue, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(points)
def test_mirror_monotone_and_bounds(pairs: list[tuple[int, int]]):
    """Negating y mirrors, a monotone change of x does nothing, the interval holds the estimate."""
    x, y = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    assume(np.ptp(x) > 0 and np.ptp(y) > 0)
    one, mirror = rank_correlation(x, y), rank_correlation(np.exp(x), -y)

    assert (one.estimate, one.p) == pytest.approx((-mirror.estimate, mirror.p))
    assert one.interval.low == pytest.approx(-mirror.interval.high)
    assert -1 <= one.interval.low <= one.estimate <= one.interval.high <= 1


@pytest.mark.parametrize("y", [[1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], [6, 5, 4, 3, 2, 1]])
def test_a_stricter_level_widens_the_interval(y: list[int]):
    """The level reaches the statistics, for perfect orders too."""
    loose, strict = (
        rank_correlation([1, 2, 3, 4, 5, 6], y, level=level).interval for level in (0.8, 0.99)
    )

    assert strict.width > loose.width


def test_covers_at_about_its_level():
    """Normal pairs with correlation .6: the .9 interval covers Spearman's (6/pi) asin(.3)."""
    rng = np.random.default_rng(1)
    true = 6 / math.pi * math.asin(0.3)
    covered = []
    for _ in range(800):
        x, noise = rng.standard_normal((2, 30))
        interval = rank_correlation(
            x, 0.6 * x + 0.8 * noise, level=0.9, rng=rng, resamples=1
        ).interval
        covered.append(interval.low <= true <= interval.high)

    assert np.mean(covered) == pytest.approx(0.9, abs=0.04)


def test_nine_points_draw_orders():
    """Above eight points rng is needed, and p is near the t approximation's."""
    x, y = np.arange(12.0), np.random.default_rng(2).standard_normal(12) + 0.15 * np.arange(12)
    with pytest.raises(ValueError, match="too many to enumerate: pass rng"):
        rank_correlation(x, y)
    result = rank_correlation(x, y, rng=np.random.default_rng(3))

    assert result.p == pytest.approx(scipy_stats.spearmanr(x, y).pvalue, abs=0.02)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [1, 2], r"x needs at least 3 value\(s\), got 2"),
        ([1, 2, 3], [1, 2, 3, 4], "must have one length, got 3 and 4"),
        ([1, 2, 3], [7, 7, 7], r"y holds one value only \(7.0\)"),
        ([1, 2, math.nan], [1, 2, 3], "x must be finite, got nan at 2"),
    ],
)
def test_refuses_what_it_cannot_use(x: list[float], y: list[float], message: str):
    """The message says the value."""
    with pytest.raises(ValueError, match=message):
        rank_correlation(x, y)
