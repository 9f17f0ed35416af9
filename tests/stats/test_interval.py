"""Intervals: what none can be, means of few runs against scipy, and differences of shares against statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep

import undertow.stats
from undertow.stats import Interval, mean_t, pooled_sd
from undertow.stats.interval import fisher, mcnemar, newcombe, newcombe_paired, share_difference


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


values = st.lists(st.floats(-50, 50).map(lambda value: round(value, 3)), min_size=2, max_size=8)


def test_known_answer():
    """1..5: mean 3, t(.975, 4) = 2.776, standard error sqrt(.5)."""
    interval = mean_t([1, 2, 3, 4, 5])

    assert interval.high - 3 == pytest.approx(2.7764451 * math.sqrt(0.5), rel=1e-7)
    assert (interval.estimate, interval.n) == (3.0, 5)


@settings(max_examples=50, deadline=None)
@given(values, st.sampled_from([0.5, 0.9, 0.99]))
def test_agrees_with_scipy(runs: list[float], level: float):
    """An independent implementation gives the same limits."""
    assume(np.ptp(runs) > 0.1)  # scipy warns about constant runs
    expected = scipy_stats.ttest_1samp(runs, 0.0).confidence_interval(level)
    interval = mean_t(runs, level)

    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-8)


def test_one_run_gives_no_limits():
    """A single run has a value and no precision."""
    interval = mean_t([0.4])

    assert (interval.estimate, interval.low, interval.high) == (0.4, -math.inf, math.inf)


def test_covers_at_its_level():
    """Four normal runs: the .9 interval covers the mean in 90 % of experiments."""
    rng = np.random.default_rng(1)
    intervals = [mean_t(rng.normal(2.0, 3.0, 4), 0.9) for _ in range(3000)]

    assert np.mean([i.low <= 2.0 <= i.high for i in intervals]) == pytest.approx(0.9, abs=0.02)


def test_a_stricter_level_widens_the_interval():
    """The level reaches the statistics."""
    assert mean_t([1, 2, 4], 0.99).width > mean_t([1, 2, 4], 0.95).width


def test_pooled_sd_is_the_one_of_the_t_test():
    """t = difference / (pooled sd * sqrt(1/n + 1/m))."""
    treated, control = [1.0, 2.0, 4.0], [0.0, 3.0, 5.0, 9.0]
    t = scipy_stats.ttest_ind(treated, control).statistic
    difference = np.mean(treated) - np.mean(control)

    assert pooled_sd(treated, control) == pytest.approx(difference / t / math.sqrt(1 / 3 + 1 / 4))


def test_pooled_sd_of_single_runs_is_refused():
    """1 v 1 has nothing within arms."""
    with pytest.raises(ValueError, match="got 1 v 1"):
        pooled_sd([1.0], [2.0])


@pytest.mark.parametrize("runs", [[], [math.nan], [[1.0, 2.0]]])
def test_refuses_what_it_cannot_use(runs: list[float]):
    """Empty, not finite, or not one-dimensional."""
    with pytest.raises(ValueError, match="values"):
        mean_t(runs)


def test_a_level_that_is_a_percentage_is_refused():
    """A mean's level is checked by the interval that it makes, also of a single run."""
    for runs in ([1.0, 2.0], [1.0]):
        with pytest.raises(ValueError, match=r"level must lie in \(0, 1\), got 95"):
            mean_t(runs, 95)


@pytest.mark.parametrize(
    ("k", "n", "hits", "of"), [(56, 70, 48, 80), (0, 10, 0, 20), (5, 56, 0, 29)]
)
def test_agrees_with_statsmodels(k: int, n: int, hits: int, of: int) -> None:
    """Another implementation of Newcombe's interval gives the same limits."""
    expected = confint_proportions_2indep(k, n, hits, of, compare="diff", method="newcomb")
    found = newcombe(k, n, hits, of)

    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)


def test_pairs_that_agree_make_the_interval_narrower() -> None:
    """Correlated pairs beat independent samples of the same shares; without discordant pairs the estimate is 0."""
    paired, independent = newcombe_paired(40, 6, 2, 52), newcombe(46, 100, 42, 100)

    assert paired.estimate == pytest.approx(independent.estimate)
    assert paired.width < independent.width
    assert newcombe_paired(5, 0, 0, 95).estimate == 0


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (9, 2), (4, 4)])
def test_mcnemar_agrees_with_statsmodels(first: int, second: int) -> None:
    """The exact p of another implementation."""
    if first + second:
        expected = statsmodels_mcnemar([[0, first], [second, 0]], exact=True).pvalue
    else:
        expected = 1.0

    assert mcnemar(first, second) == pytest.approx(expected)


def test_fisher_never_errs_more_often_than_it_says() -> None:
    """Its exact error rate over two binomials, at .05, for shares from rare to even."""
    n = 15
    ps = np.array([[fisher(k, n, hits, n) for hits in range(n + 1)] for k in range(n + 1)])
    for share in (0.01, 0.1, 0.3, 0.5):
        weights = binom.pmf(np.arange(n + 1), n, share)

        assert (weights[:, None] * weights[None])[ps <= 0.05].sum() <= 0.05


def test_rows_are_told_apart_from_pairs() -> None:
    """The same hits: matched rows are tested by the pairs that disagree, others by Fisher."""
    one, other = np.repeat([True, False], [8, 32]), np.repeat([True, False], [2, 38])
    paired, p_paired = share_difference(one, other, matched=True, level=0.95)
    apart, p_apart = share_difference(one, other, matched=False, level=0.95)

    assert paired.estimate == apart.estimate == pytest.approx(0.15)
    assert p_paired == mcnemar(6, 0)
    assert p_apart == fisher(8, 40, 2, 40)


def test_sides_must_hold_rows() -> None:
    """An empty side, or matched sides that are not equally many, are named."""
    with pytest.raises(ValueError, match="both sides need rows, got 0 and 3"):
        share_difference(np.zeros(0, bool), np.zeros(3, bool), matched=False, level=0.95)
    with pytest.raises(ValueError, match="equally many, got 2 and 3"):
        share_difference(np.zeros(2, bool), np.zeros(3, bool), matched=True, level=0.95)
