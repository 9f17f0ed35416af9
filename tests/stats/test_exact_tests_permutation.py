"""The two-sample permutation test: known answers, properties, scipy, and calibration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from undertow.stats import Interval, smallest_p_two_sample, two_sample_permutation
from undertow.stats.designs import two_sided
from undertow.stats.exact_tests import split_rows, split_statistics

numbers = st.floats(-100, 100, allow_subnormal=False).map(lambda value: round(value, 3))
arms = st.lists(numbers, min_size=1, max_size=5)
larger_arms = st.lists(numbers, min_size=2, max_size=5)  # scipy takes no single run


def mean_difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """The statistic, as scipy wants it."""
    return np.mean(x, axis=axis) - np.mean(y, axis=axis)


def draw(seed: int, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arms of normal runs."""
    rng = np.random.default_rng(seed)
    return rng.normal(1.0, 1.0, n), rng.normal(0.0, 2.0, m)


@pytest.mark.parametrize(
    ("n", "m", "p"), [(3, 3, 2 / 20), (4, 4, 2 / 70), (5, 5, 2 / 252), (2, 5, 1 / 21)]
)
def test_complete_separation_gives_the_least_p(n: int, m: int, p: float):
    """Arms that do not overlap give 2 / C(2n, n) with equal sizes, 1 / C(n + m, n) with unequal ones."""
    result = two_sample_permutation(np.arange(n) + 100.0, np.arange(m))

    assert result.p == pytest.approx(p, abs=1e-15)
    assert result.smallest_p == pytest.approx(p, abs=1e-15)


def test_four_against_four_at_95_percent_drops_one_pair_of_splits():
    """4 v 4 at .95 may leave out 3 of 70 splits, so the limits are the extreme single differences."""
    result = two_sample_permutation([5, 6, 7, 8], [1, 2, 3, 4])

    assert result.interval == Interval(4.0, 1.0, 7.0, 0.95, 8)
    assert (result.n, result.test) == ("4 v 4", "exact two-sample permutation")


def test_three_against_three_has_no_finite_limits_at_95_percent():
    """A design that cannot reach the level gives an infinite interval, not a wide one."""
    interval = two_sample_permutation([10, 11, 12], [0, 1, 2]).interval

    assert (interval.low, interval.high) == (-math.inf, math.inf)


def test_three_against_three_rejects_at_exactly_ten_percent():
    """p = .10 rejects at level .90, although 1 - .9 is a little below .1 in floating point."""
    interval = two_sample_permutation([10, 11, 12], [0, 1, 2], level=0.9).interval

    assert interval.low == pytest.approx(8.0)
    assert interval.high == pytest.approx(12.0)


def test_ties_count_although_floats_round():
    """0.1 + 0.2 and 0.3 are the same value: every split of constant arms ties."""
    result = two_sample_permutation([0.1 + 0.2, 0.3, 0.3], [0.3, 0.1 + 0.2, 0.3])

    assert result.p == 1.0


def test_a_limit_that_ties_with_zero_is_zero():
    """p = 4/15 at zero does not reject at .80, so rounding must not push the limit past zero."""
    result = two_sample_permutation([0.1, -0.3, 0.4, 0.6], [-0.1, -0.4], level=0.8)

    assert result.p == pytest.approx(4 / 15)
    assert result.interval.low == 0.0


def test_a_large_offset_does_not_break_ties():
    """Adding a million to every run leaves p as it is."""
    treated, control = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 0.1, 0.2, 0.3])
    plain = two_sample_permutation(treated, control)
    moved = two_sample_permutation(treated + 1e6, control + 1e6)

    assert plain.p == moved.p
    assert plain.p < 1


@settings(max_examples=60, deadline=None)
@given(larger_arms, larger_arms)
def test_agrees_with_scipy(treated: list[float], control: list[float]):
    """Same p as an independent exact enumeration that doubles neither tail."""
    pooled = np.array(treated + control)
    observed = abs(np.mean(treated) - np.mean(control))
    reference = scipy_stats.permutation_test(
        (pooled[: len(treated)], pooled[len(treated) :]),
        lambda x, y, axis=-1: np.round(np.abs(mean_difference(x, y, axis)), 9),
        n_resamples=np.inf,
        alternative="greater",
        vectorized=True,
    )

    assert two_sample_permutation(treated, control).p == pytest.approx(reference.pvalue, abs=1e-12)
    assert round(observed, 9) == pytest.approx(float(reference.statistic), abs=1e-8)


@settings(max_examples=80, deadline=None)
@given(arms, arms)
def test_swapping_the_arms_mirrors_the_result(treated: list[float], control: list[float]):
    """The sign of the estimate and of the limits changes, and nothing else."""
    one = two_sample_permutation(treated, control, level=0.8)
    other = two_sample_permutation(control, treated, level=0.8)

    assert one.p == other.p
    assert one.interval.low == pytest.approx(-other.interval.high, abs=1e-9)
    assert one.interval.high == pytest.approx(-other.interval.low, abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(arms, arms, numbers)
def test_a_shift_of_the_treated_arm_moves_estimate_and_limits(
    treated: list[float], control: list[float], shift: float
):
    """The interval is shift equivariant."""
    one = two_sample_permutation(treated, control, level=0.8).interval
    other = two_sample_permutation(np.array(treated) + shift, control, level=0.8).interval

    assert other.estimate == pytest.approx(one.estimate + shift, abs=1e-9)
    assert other.low == pytest.approx(one.low + shift, abs=1e-9)
    assert other.high == pytest.approx(one.high + shift, abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(arms, arms, st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]))
def test_interval_and_p_are_two_views_of_one_test(
    treated: list[float], control: list[float], level: float
):
    """Zero lies outside the interval exactly where p is at most 1 - level; p keeps its bounds."""
    result = two_sample_permutation(treated, control, level=level)
    interval = result.interval

    assert (interval.low > 0 or interval.high < 0) == (result.p <= 1 - level + 1e-12)
    assert interval.low <= interval.estimate <= interval.high
    assert result.smallest_p - 1e-15 <= result.p <= 1


@pytest.mark.parametrize("sizes", [(4, 4), (3, 6), (7, 2)])
def test_limits_are_where_p_crosses(sizes: tuple[int, int]):
    """Just inside a limit the shifted data are not rejected, just outside they are."""
    treated, control = draw(1, *sizes)
    interval = two_sample_permutation(treated, control, level=0.9).interval
    for limit, outward in ((interval.low, -1e-6), (interval.high, 1e-6)):
        inside = two_sample_permutation(treated - limit + outward, control).p
        outside = two_sample_permutation(treated - limit - outward, control).p

        assert inside > 0.1 >= outside


def test_a_stricter_level_widens_the_interval():
    """The level reaches the statistics."""
    treated, control = draw(2, 6, 6)
    widths = [
        two_sample_permutation(treated, control, level=level).interval.width
        for level in (0.5, 0.8, 0.95, 0.99)
    ]

    assert all(a < b for a, b in itertools.pairwise(widths))


@pytest.mark.parametrize("sizes", [(4, 4), (3, 6)])
def test_coverage_and_false_alarms_are_what_the_design_promises(sizes: tuple[int, int]):
    """For continuous runs p <= .05 happens at the exact rate, and the interval covers accordingly."""
    rng = np.random.default_rng(3)
    n, m = sizes
    shift = 1.5
    treated, control = rng.exponential(size=(6000, n)) + shift, rng.exponential(size=(6000, m))
    ranges = two_sided(*split_statistics(treated, control, split_rows(n, m, None, 1)))
    low, high = ranges.limits(0.95)
    share = np.mean((low <= shift) & (shift <= high))
    splits = math.comb(n + m, n)
    step = 2 if n == m else 1
    rate = step * math.floor(0.05 * splits / step + 1e-9) / splits

    assert share == pytest.approx(1 - rate, abs=4 * math.sqrt(rate / 6000))


def test_false_alarms_of_the_public_test_stay_below_alpha():
    """5 v 5 runs without a difference give p <= .05 in at most 5 % of experiments."""
    rng = np.random.default_rng(4)
    alarms = [two_sample_permutation(*rng.standard_normal((2, 5))).p <= 0.05 for _ in range(1500)]

    assert 0.03 < np.mean(alarms) < 0.065


def test_monte_carlo_agrees_with_the_exact_test():
    """Random splits give p = (1 + hits) / (1 + B) near the exact one, and a near interval."""
    treated, control = draw(5, 6, 7)
    exact = two_sample_permutation(treated, control)
    rng = np.random.default_rng(6)
    rows = np.vstack([split_rows(6, 7, None, 1)[:1], _random_splits(rng, 13, 6, 9_999)])
    ranges = two_sided(*split_statistics(treated, control, rows))

    assert ranges.p_at(0.0) == pytest.approx(exact.p, abs=0.015)
    assert float(ranges.limits(0.95)[0]) == pytest.approx(exact.interval.low, abs=0.3)


def _random_splits(rng: np.random.Generator, total: int, size: int, number: int) -> np.ndarray:
    return np.argsort(rng.random((number, total)), axis=1)[:, :size]


def test_large_arms_need_a_generator_and_then_draw_splits():
    """12 v 12 runs have 2.7 million splits: refused without rng, drawn with it, least p 1 / (B + 1)."""
    treated, control = np.arange(12) + 100.0, np.arange(12.0)
    with pytest.raises(ValueError, match="2704156 rearrangements are too many"):
        two_sample_permutation(treated, control)
    result = two_sample_permutation(treated, control, rng=np.random.default_rng(7), resamples=999)

    assert result.p == result.smallest_p == 1 / 1000
    assert result.test == "Monte Carlo two-sample permutation, 999 splits"


def test_the_same_generator_gives_the_same_result():
    """Nothing but the passed generator is random."""
    treated, control = draw(8, 15, 15)
    one, other = (
        two_sample_permutation(treated, control, rng=np.random.default_rng(9)) for _ in range(2)
    )

    assert one == other


@pytest.mark.parametrize(
    ("treated", "level", "message"),
    [
        ([], 0.95, r"treated needs at least 1 value\(s\), got 0"),
        ([1.0, math.nan], 0.95, "treated must be finite, got nan at 1"),
        ([math.inf], 0.95, "treated must be finite, got inf at 0"),
        ([[1.0]], 0.95, r"treated must be one-dimensional, got shape \(1, 1\)"),
        ([1.0], 1.0, r"level must lie in \(0, 1\), got 1.0"),
        ([1.0], math.nan, r"level must lie in \(0, 1\), got nan"),
    ],
)
def test_refuses_what_it_cannot_use(treated: list[float], level: float, message: str):
    """The message says what is wrong and the value."""
    with pytest.raises(ValueError, match=message):
        two_sample_permutation(treated, [1.0, 2.0], level=level)


def test_least_p_of_one_against_one_is_one():
    """Two runs say nothing."""
    assert smallest_p_two_sample(1, 1) == 1.0
