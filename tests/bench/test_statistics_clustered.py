"""The interval of a share over clusters is Clopper-Pearson's where clusters tell nothing, wider where they do, and covers."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics import clustered_share
from undertow.stats import clopper_pearson


def test_single_trials_give_about_clopper_pearson() -> None:
    """With one trial a cluster, the interval is Clopper-Pearson's."""
    hits = [1] * 6 + [0] * 94
    ours, plain = clustered_share(hits, [1] * 100), clopper_pearson(6, 100)

    assert ours.estimate == pytest.approx(0.06)
    assert ours.low == pytest.approx(plain.low, abs=0.003)
    assert ours.high == pytest.approx(plain.high, abs=0.003)


def test_clusters_that_agree_within_are_fewer_than_their_trials() -> None:
    """Ten clusters of ten identical trials are worth about ten trials."""
    ours = clustered_share([10] * 3 + [0] * 7, [10] * 10)
    ten = clopper_pearson(3, 10)

    assert ours.high - ours.low >= 0.9 * (ten.high - ten.low)


def test_no_hit_counts_each_cluster_once() -> None:
    """Nothing tells how alike the trials of a cluster are when all are alike."""
    assert clustered_share([0] * 20, [6] * 20).high == pytest.approx(clopper_pearson(0, 20).high)
    assert clustered_share([6] * 20, [6] * 20).low == pytest.approx(clopper_pearson(20, 20).low)


def test_coverage_with_correlated_clusters() -> None:
    """Beta-binomial clusters: the nominal 95 % interval holds the true share in at least 92 %."""
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        shares = rng.beta(1.0, 4.0, 40)
        hits = rng.binomial(6, shares)
        found = clustered_share(hits.tolist(), [6] * 40)
        held += found.low <= 0.2 <= found.high

    assert held >= 0.92 * 400


@pytest.mark.parametrize(("hits", "trials"), [([], []), ([2], [1]), ([1], [1, 1]), ([-1], [2])])
def test_bad_counts_are_refused(hits: list[int], trials: list[int]) -> None:
    """No trials, more hits than trials, unequal lengths."""
    with pytest.raises(ValueError, match="hits and trials"):
        clustered_share(hits, trials)
