"""Intervals of how far two samples differ: known answers, an independent implementation, coverage under the null."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, ttest_ind

from undertow.stats.two_sample import Samples, counted, mean_difference, separation

BOTH = pytest.mark.parametrize("matched", [True, False])


def test_unmatched_means_agree_with_welch() -> None:
    """scipy's interval, but for whole degrees of freedom."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(1, 1, 40), rng.normal(0, 3, 60)
    expected = ttest_ind(one, other, equal_var=False).confidence_interval(0.9)

    found = mean_difference(np.concatenate([one, other]), Samples(40, 60, False), 0.9)

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-3)


def test_matched_means_are_those_of_pairs() -> None:
    """A constant difference has no spread, whatever the prompts do; constants on both sides neither."""
    prompts = np.arange(20.0)
    found = mean_difference(np.concatenate([prompts + 2, prompts]), Samples(20, 20, True), 0.95)
    still = mean_difference(np.ones(30), Samples(20, 10, False), 0.95)

    assert (found.low, found.high) == pytest.approx((2, 2))
    assert (still.low, still.high) == (0, 0)


@BOTH
def test_samples_without_anything_in_common_are_1_apart(matched: bool) -> None:
    """The total variation distance of disjoint distributions."""
    samples = Samples(40, 40, matched)
    values = np.repeat([0, 1], 40)
    counts, _ = counted(np.arange(80), values, samples)
    found = separation(counts, samples, samples.halves(np.random.default_rng(0)), 0.95)

    assert (found.estimate, found.low, found.high) == (1, 1, 1)


def test_a_shift_between_two_categories_is_its_size() -> None:
    """60 % against 40 %: the distance is .2, and the estimate is near it without being above on average."""
    rng = np.random.default_rng(1)
    samples = Samples(400, 400, False)
    estimates = []
    for _ in range(100):
        values = np.concatenate([rng.random(400) < 0.6, rng.random(400) < 0.4]).astype(np.int64)
        counts, _ = counted(np.arange(800), values, samples)
        estimates.append(separation(counts, samples, samples.halves(rng), 0.95).estimate)

    assert np.mean(estimates) == pytest.approx(0.2, abs=0.01)


@BOTH
@pytest.mark.parametrize("categories", [2, 30])
def test_equal_samples_are_seldom_held_apart(matched: bool, categories: int) -> None:
    """250 null draws: the lower limit is above 0 in no more than 2.5 %, within a binomial interval."""
    rng = np.random.default_rng(2)
    samples = Samples(60, 60, matched)
    above = 0
    for _ in range(250):
        values = rng.integers(0, categories, (120, 5))
        counts, _ = counted(np.repeat(np.arange(120), 5), values.ravel(), samples)
        above += separation(counts, samples, samples.halves(rng), 0.95).low > 0

    assert above <= binom.ppf(0.999, 250, 0.025)
