"""Statistics that only studies of this project need: rank correlation, shares of trials in clusters, ratios of means."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats as distributions

from undertow.stats.arguments import Vector, count, finite_vector, fraction
from undertow.stats.designs import EXACT_ORDER, RESAMPLES, permutations, smallest_p_rank_correlation
from undertow.stats.interval import Interval, TestResult, normal_quantile, t_quantile

_TIE = 1e-9


def rank_correlation(
    x: ArrayLike,
    y: ArrayLike,
    *,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
    resamples: int = RESAMPLES,
) -> TestResult:
    """
    Spearman's rank correlation of paired points (ties get their mean rank).

    p is the share of the n! orders of y with a correlation at least as large in magnitude; above
    8 points `resamples` random orders are drawn with `rng`. The interval is approximate: Fisher's
    transformation with variance (1 + r^2 / 2) / (n - 3) (Bonett & Wright, Psychometrika 65, 2000),
    [-1, 1] for 3 points. It is no inversion of the test, so the two can disagree at the edge.

    Raises:
        ValueError: Fewer than 3 points, unequal lengths, not finite, all x or all y equal, a level
            outside (0, 1), or rng is missing.
    """
    first, second = finite_vector(x, "x", at_least=3), finite_vector(y, "y", at_least=3)
    if first.size != second.size:
        raise ValueError(f"x and y must have one length, got {first.size} and {second.size}")
    fraction(level, "level")
    n = first.size
    left, right = _unit_ranks(first, "x"), _unit_ranks(second, "y")
    estimate = _correlation(first, second)
    rows = permutations(n, rng, count(resamples, "resamples"))
    hits = np.abs(right[rows] @ left) >= abs(estimate) - _TIE
    smallest, test = smallest_p_rank_correlation(n), "exact rank correlation permutation"
    if n > EXACT_ORDER:
        smallest = 1 / (resamples + 1)
        test = f"Monte Carlo rank correlation permutation, {resamples} orders"
    interval = _fisher_interval(estimate, n, level)
    return TestResult(estimate, interval, float(hits.mean()), smallest, f"{n} points", test)


def _fisher_interval(estimate: float, n: int, level: float) -> Interval:
    if n == 3:
        return Interval(estimate, -1.0, 1.0, level, n)
    # A perfect order is taken half a step (two neighbours exchanged) short of 1, as the
    # transformation is infinite there; its own end stays at 1.
    most = 1 - 6 / (n * (n * n - 1))
    z = math.atanh(max(-most, min(most, estimate)))
    half = normal_quantile((1 + level) / 2) * math.sqrt((1 + estimate**2 / 2) / (n - 3))
    low, high = math.tanh(z - half), math.tanh(z + half)
    if abs(estimate) > most:
        low, high = (low, 1.0) if estimate > 0 else (-1.0, high)
    return Interval(estimate, min(low, estimate), max(high, estimate), level, n)


def clustered_rank_correlation(
    x: ArrayLike, y: ArrayLike, clusters: ArrayLike, *, level: float = 0.95
) -> Interval:
    """
    Spearman's rank correlation of paired points, with an interval over the clusters that they come from.

    Points of one cluster (datasets of one teacher, say) are no independent points, as `rank_correlation` takes them for.
    The interval is the jackknife's that leaves out one cluster at a time, on Fisher's scale, with a t of clusters - 1
    degrees of freedom (Efron & Stein, Annals of Statistics 9, 1981: its variance errs upwards). `n` is the number of
    clusters. A perfect order is taken half a step short of 1, as there.

    Raises:
        ValueError: unequal lengths, fewer than 3 clusters, or as `rank_correlation`, also without one of the clusters.
    """
    first, second = finite_vector(x, "x", at_least=3), finite_vector(y, "y", at_least=3)
    names = np.asarray(clusters)
    if not first.size == second.size == names.size:
        sizes = first.size, second.size, names.size
        raise ValueError(f"x, y and clusters must have one length, got {sizes}")
    fraction(level, "level")
    groups = np.unique(names)
    if groups.size < 3:
        raise ValueError(f"needs at least 3 clusters, got {groups.size}")
    estimate = _correlation(first, second)
    without = np.array([_fisher(first[names != g], second[names != g]) for g in groups])
    factor = (groups.size - 1) / groups.size
    error = math.sqrt(factor * float(((without - without.mean()) ** 2).sum()))
    z = _fisher(first, second)
    half = t_quantile((1 + level) / 2, groups.size - 1) * error
    low, high = min(math.tanh(z - half), estimate), max(math.tanh(z + half), estimate)
    return Interval(estimate, low, high, level, int(groups.size))


def _correlation(x: Vector, y: Vector) -> float:
    return float(np.clip(_unit_ranks(x, "x") @ _unit_ranks(y, "y"), -1.0, 1.0))


def _fisher(x: Vector, y: Vector) -> float:
    most = 1 - 6 / (x.size * (x.size**2 - 1))
    return math.atanh(max(-most, min(most, _correlation(x, y))))


def _unit_ranks(values: Vector, name: str) -> Vector:
    """Mean ranks, centred and scaled to length 1, so that a dot product is the correlation."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last: NDArray[np.int64] = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    centred = ranks - ranks.mean()
    length = float(np.linalg.norm(centred))
    if length == 0:
        raise ValueError(f"{name} holds one value only ({values[0]}): no ranks to correlate")
    return np.asarray(centred / length)


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
        shrink = distributions.t.ppf(tail, total - 1) / distributions.t.ppf(tail, clusters - 1)
        effective *= shrink**2
    elif clusters >= 1:
        # All alike: nothing tells how alike a cluster's trials are, so each cluster counts once.
        effective = float(clusters)
    return _beta_interval(share, effective, level, clusters)


def _beta_interval(share: float, size: float, level: float, clusters: int) -> Interval:
    tail = (1 - level) / 2
    hits = share * size
    low = 0.0 if hits <= 0 else float(distributions.beta.ppf(tail, hits, size - hits + 1))
    high = 1.0 if hits >= size else float(distributions.beta.ppf(1 - tail, hits + 1, size - hits))
    return Interval(float(share), low, high, level, clusters)


def ratio_of_means(numerators: ArrayLike, denominators: ArrayLike, level: float = 0.95) -> Interval:
    """
    The ratio of the means of pairs, one pair a run, with Fieller's interval (normal runs; Fieller 1954, J. R. Stat. Soc. B
    16:175); infinite where the mean below is not told from 0, and for a single run.

    Raises:
        ValueError: No pairs, of different numbers, not finite, a mean of 0 below, or a level outside (0, 1).
    """
    above = finite_vector(numerators, "numerators")
    below = finite_vector(denominators, "denominators")
    fraction(level, "level")
    n = above.size
    if n != below.size:
        raise ValueError(f"needs pairs, got {n} numerators and {below.size} denominators")
    a, b = float(above.mean()), float(below.mean())
    if b == 0:
        raise ValueError("the mean below is 0")
    everywhere = Interval(a / b, -math.inf, math.inf, level, n)
    if n == 1:
        return everywhere
    covariance = np.cov(above, below, ddof=1) / n
    squared = t_quantile((1 + level) / 2, n - 1) ** 2
    # All r with (a - r b)^2 <= t^2 Var(a - r b): between the roots of A r^2 - 2 B r + C.
    quadratic = b * b - squared * covariance[1, 1]
    linear = a * b - squared * covariance[0, 1]
    constant = a * a - squared * covariance[0, 0]
    if quadratic <= 0:
        return everywhere
    half = math.sqrt(max(0.0, linear * linear - quadratic * constant)) / quadratic
    middle = float(linear / quadratic)
    return Interval(a / b, middle - half, middle + half, level, n)
