"""Ratios of means: against their definition, and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.statistics import ratio_of_means


def test_a_ratio_lies_in_its_interval_where_the_t_test_allows_it():
    """An independent definition: r is inside iff the differences above - r below are not told from 0."""
    rng = np.random.default_rng(4)
    below = rng.normal(2.0, 0.3, 5)
    above = 0.4 * below + rng.normal(0, 0.1, 5)
    found = ratio_of_means(above, below)
    for r in (
        found.low - 0.01,
        found.low + 0.01,
        found.estimate,
        found.high - 0.01,
        found.high + 0.01,
    ):
        p = scipy_stats.ttest_1samp(above - r * below, 0.0).pvalue
        assert (p > 0.05) == (found.low < r < found.high)

    assert found.estimate == pytest.approx(above.mean() / below.mean())
    assert found.low < found.estimate < found.high


def test_a_ratio_of_what_is_proportional_is_exact():
    """Without noise around the line there is nothing to be uncertain of."""
    found = ratio_of_means([1.0, 1.1, 1.2], [10.0, 11.0, 12.0])

    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.1))


def test_a_ratio_over_what_may_be_nothing_has_no_limits():
    """A mean below that is not told from 0; a single pair."""
    for above, below in (([1.0, 2.0, 1.5], [-1.0, 1.2, 0.1]), ([1.0], [2.0])):
        found = ratio_of_means(above, below)
        assert (found.low, found.high) == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="pairs"):
        ratio_of_means([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="is 0"):
        ratio_of_means([1.0, 2.0], [1.0, -1.0])


def test_a_ratio_covers_at_its_level():
    """Four pairs of normal runs that go together: the .9 interval covers the ratio in 90 % of experiments."""
    rng = np.random.default_rng(2)
    hits = []
    for _ in range(3000):
        below = rng.normal(2.0, 0.4, 4)
        above = 0.3 * below + rng.normal(0.0, 0.2, 4)
        found = ratio_of_means(above, below, 0.9)
        hits.append(found.low <= 0.3 <= found.high)

    assert np.mean(hits) == pytest.approx(0.9, abs=0.02)
