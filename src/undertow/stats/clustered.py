"""Intervals for a share whose trials come in clusters, several datasets by one teacher say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from undertow.stats.interval import Interval


def clustered_share(hits: Sequence[int], trials: Sequence[int], *, level: float = 0.95) -> Interval:
    """
    Two-sided interval for sum(hits) / sum(trials), one entry a cluster: Clopper-Pearson at the effective sample size.

    The effective size is the number of trials over the design effect of the clusters (at least 1), adjusted for the
    few degrees of freedom that few clusters leave (Korn and Graubard 1998, Survey Methodology 24).

    Raises:
        ValueError: there are no trials, or a cluster has more hits than trials.
    """
    h, n = np.asarray(hits, float), np.asarray(trials, float)
    if h.shape != n.shape or not n.sum() or (h > n).any() or (h < 0).any():
        raise ValueError(
            "needs hits and trials of each cluster, at least one trial, no more hits than trials"
        )
    total, clusters = n.sum(), len(n)
    share = h.sum() / total
    effective = total
    if clusters > 1 and 0 < share < 1:
        # Linearised variance of a ratio with clusters as the units.
        variance = clusters / (clusters - 1) * ((h - share * n) ** 2).sum() / total**2
        effective = min(total, share * (1 - share) / variance) if variance else total
        tail = (1 - level) / 2
        shrink = stats.t.ppf(tail, total - 1) / stats.t.ppf(tail, clusters - 1)
        effective *= shrink**2
    elif clusters >= 1:
        # All alike: nothing tells how alike a cluster's trials are, so each cluster counts once.
        effective = float(clusters)
    return _beta_interval(share, effective, level, clusters)


def _beta_interval(share: float, size: float, level: float, clusters: int) -> Interval:
    tail = (1 - level) / 2
    hits = share * size
    low = 0.0 if hits <= 0 else float(stats.beta.ppf(tail, hits, size - hits + 1))
    high = 1.0 if hits >= size else float(stats.beta.ppf(1 - tail, hits + 1, size - hits))
    return Interval(float(share), low, high, level, clusters)
