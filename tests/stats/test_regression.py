"""Effects over clusters of runs: another implementation's errors, intervals that hold what they say, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from undertow.stats.regression import NO_LEAST_P, clustered_least_squares


def _drawn(
    rng: np.random.Generator, clusters: int, size: int, slope: float, spread: float
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Runs whose slope is another in every cluster."""
    of = np.repeat(np.arange(clusters), size)
    x = np.tile(np.resize([-1.0, 1.0], size), clusters)
    slopes = slope + spread * rng.standard_normal(clusters)
    y = slopes[of] * x + rng.standard_normal(of.size)
    return np.stack([np.ones(of.size), x], axis=1), y, of.tolist()


def test_the_sandwich_is_that_of_statsmodels() -> None:
    """Coefficients and errors as its clustered covariance has them."""
    from statsmodels.api import OLS

    columns, y, of = _drawn(np.random.default_rng(1), 6, 8, 0.5, 0.5)
    theirs = OLS(y, columns).fit(cov_type="cluster", cov_kwds={"groups": np.array(of)}, use_t=True)
    ours = clustered_least_squares(columns, y, of)

    assert ours.coefficients == pytest.approx(theirs.params)
    assert np.sqrt(np.diag(ours.covariance)) == pytest.approx(theirs.bse)


def test_clusters_of_one_design_give_the_t_interval_of_their_slopes() -> None:
    """Where every cluster has the same runs, a slope is the mean of the clusters' own, and t has one degree less than these."""
    columns, y, of = _drawn(np.random.default_rng(4), 6, 8, 0.5, 0.5)
    slopes = [np.polyfit(columns[:8, 1], y[np.array(of) == cluster], 1)[0] for cluster in range(6)]
    student = ttest_1samp(slopes, 0.0)
    effect = clustered_least_squares(columns, y, of).effect([0, 1])

    assert effect.p == pytest.approx(student.pvalue)
    assert (effect.interval.low, effect.interval.high) == pytest.approx(
        tuple(student.confidence_interval())
    )
    assert "5.0 degrees of freedom" in effect.test


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_intervals_hold_the_slope_as_often_as_they_say(spread: float) -> None:
    """95 % over eight teachers, alike or not; least squares alone would hold it in some 60 % where they are not."""
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        columns, y, of = _drawn(rng, 8, 8, 0.3, spread)
        interval = clustered_least_squares(columns, y, of).effect([0, 1]).interval
        held += interval.low <= 0.3 <= interval.high

    assert 0.91 <= held / 400 <= 0.98


def test_a_difference_of_two_effects_counts_what_they_share() -> None:
    """A sum of coefficients has the error of the sum, not of its parts; of no runs is p bounded."""
    rng = np.random.default_rng(3)
    signs = rng.choice([-1.0, 1.0], size=(64, 2))
    columns = np.column_stack([np.ones(64), signs])
    fit = clustered_least_squares(columns, signs[:, 0] - signs[:, 1], np.arange(64) % 8)
    difference = fit.effect([0, 2, -2])

    assert difference.estimate == pytest.approx(4)
    assert difference.interval.width == pytest.approx(0, abs=1e-9)
    assert difference.smallest_p == NO_LEAST_P


def test_what_cannot_be_told_apart_is_refused() -> None:
    """A column that is a sum of others, one cluster, or weights that fit no column."""
    columns = np.column_stack([np.ones(8), np.resize([1.0, -1.0], 8), np.resize([2.0, 0.0], 8)])
    with pytest.raises(ValueError, match="sum of others"):
        clustered_least_squares(columns, np.arange(8.0), [0, 1] * 4)
    with pytest.raises(ValueError, match="2 clusters"):
        clustered_least_squares(columns[:, :2], np.arange(8.0), [0] * 8)
    with pytest.raises(ValueError, match="needs 2 weights"):
        clustered_least_squares(columns[:, :2], np.arange(8.0), [0, 1] * 4).effect([1.0])
