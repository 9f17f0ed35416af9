"""The sign-flip test: known answers, properties, scipy, and calibration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from undertow.stats import sign_flip, smallest_p_sign_flip
from undertow.stats.designs import signs, two_sided
from undertow.stats.exact_tests import flip_statistics

numbers = st.floats(-100, 100, allow_subnormal=False).map(lambda value: round(value, 3))
pairs = st.lists(numbers, min_size=1, max_size=8)


@pytest.mark.parametrize(("n", "p"), [(1, 1.0), (5, 0.0625), (6, 0.03125), (10, 2 / 1024)])
def test_one_sign_throughout_gives_the_least_p(n: int, p: float):
    """All differences positive give 2 / 2^n: six pairs are needed for .05."""
    result = sign_flip(np.arange(1.0, n + 1))

    assert result.p == result.smallest_p == smallest_p_sign_flip(n) == p
    assert result.n == ("1 pair" if n == 1 else f"{n} pairs")


def test_six_pairs_are_bounded_by_the_extreme_differences():
    """At .95 six pairs may leave out 3 of 64 patterns, so the limits are the extreme differences."""
    interval = sign_flip([1, 2, 4, 8, 16, 32]).interval

    assert interval.low == pytest.approx(1.0)
    assert interval.high == pytest.approx(32.0)


def test_five_pairs_have_no_finite_limits_at_95_percent():
    """A design that cannot reach the level gives an infinite interval."""
    interval = sign_flip([1, 2, 3, 4, 5]).interval

    assert (interval.low, interval.high) == (-math.inf, math.inf)


def test_limits_are_order_statistics_of_subset_means():
    """By brute force: the limits at .9 come from the means of subsets and of their complements."""
    values = np.array([0.3, -0.4, 1.1, 0.9, 2.2, 0.7])
    ends = []
    for size in range(1, 6):
        for chosen in itertools.combinations(range(6), size):
            rest = sorted(set(range(6)) - set(chosen))
            ends.append(min(values[list(chosen)].mean(), values[rest].mean()))
    # 2 of 64 patterns always count, 6.4 may be left out: the 5th smallest of the others.
    expected = sorted(ends)[6 - 2]

    assert sign_flip(values, level=0.9).interval.low == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=2, max_size=7))
def test_agrees_with_scipy(values: list[float]):
    """Same p as scipy's exact test over swapped pairs."""
    reference = scipy_stats.permutation_test(
        (np.array(values), np.zeros(len(values))),
        lambda x, y, axis=-1: np.round(np.abs(np.mean(x - y, axis=axis)), 9),
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="greater",
        vectorized=True,
    )

    assert sign_flip(values).p == pytest.approx(reference.pvalue, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(pairs)
def test_swapping_the_pairs_mirrors_the_result(values: list[float]):
    """The sign of the estimate and of the limits changes, and nothing else."""
    one, other = sign_flip(values, level=0.8), sign_flip(-np.array(values), level=0.8)

    assert one.p == other.p
    assert one.interval.low == pytest.approx(-other.interval.high, abs=1e-9)
    assert one.estimate == pytest.approx(-other.estimate, abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(pairs, numbers)
def test_a_shift_moves_estimate_and_limits(values: list[float], shift: float):
    """The interval is shift equivariant."""
    one = sign_flip(values, level=0.8).interval
    other = sign_flip(np.array(values) + shift, level=0.8).interval

    assert other.estimate == pytest.approx(one.estimate + shift, abs=1e-9)
    assert other.low == pytest.approx(one.low + shift, abs=1e-9)
    assert other.high == pytest.approx(one.high + shift, abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(pairs, st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99]))
def test_interval_and_p_are_two_views_of_one_test(values: list[float], level: float):
    """Zero lies outside the interval exactly where p is at most 1 - level; p keeps its bounds."""
    result = sign_flip(values, level=level)
    interval = result.interval

    assert (interval.low > 0 or interval.high < 0) == (result.p <= 1 - level + 1e-12)
    assert interval.low <= interval.estimate <= interval.high
    assert result.smallest_p <= result.p <= 1


def test_a_stricter_level_widens_the_interval():
    """The level reaches the statistics."""
    values = np.random.default_rng(1).standard_normal(9)
    widths = [sign_flip(values, level=level).interval.width for level in (0.5, 0.8, 0.95, 0.99)]

    assert all(a < b for a, b in itertools.pairwise(widths))


def test_coverage_is_exact_for_symmetric_differences():
    """Seven pairs at .95 leave out 6 of 128 patterns: coverage 1 - 6 / 128."""
    rng = np.random.default_rng(2)
    values = rng.laplace(size=(8000, 7)) - 0.7
    low, high = two_sided(*flip_statistics(values, signs(7, None, 1))).limits(0.95)
    share = np.mean((low <= -0.7) & (high >= -0.7))

    assert share == pytest.approx(1 - 6 / 128, abs=4 * math.sqrt(6 / 128 / 8000))


def test_false_alarms_of_the_public_test_stay_below_alpha():
    """Six pairs without a difference give p <= .05 in 1 of 32 experiments."""
    rng = np.random.default_rng(3)
    alarms = [sign_flip(rng.standard_normal(6)).p <= 0.05 for _ in range(2500)]

    assert np.mean(alarms) == pytest.approx(1 / 32, abs=0.014)


def test_many_pairs_need_a_generator_and_then_draw_patterns():
    """Twenty pairs are refused without rng; with it the Monte Carlo p is near the t test's."""
    values = np.random.default_rng(4).normal(0.4, 1.0, 20)
    with pytest.raises(ValueError, match="too many to enumerate: pass rng"):
        sign_flip(values)
    result = sign_flip(values, rng=np.random.default_rng(5))

    assert result.p == pytest.approx(scipy_stats.ttest_1samp(values, 0).pvalue, abs=0.02)
    assert result.smallest_p == 1e-4


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, -math.inf]])
def test_refuses_what_it_cannot_use(values: list[float]):
    """Empty or infinite differences raise, and the message names them."""
    with pytest.raises(ValueError, match="differences"):
        sign_flip(values)
