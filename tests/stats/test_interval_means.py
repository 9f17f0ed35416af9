"""Means of few runs: against scipy, coverage, and single runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from undertow.stats import mean_t, pooled_sd

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
