"""Spearman's rank correlation with an exact permutation p and an approximate interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from undertow.stats.arguments import Vector, count, finite_vector, fraction
from undertow.stats.designs import smallest_p_rank_correlation
from undertow.stats.interval import Interval
from undertow.stats.quantiles import normal_quantile
from undertow.stats.rearrangements import EXACT_ORDER, RESAMPLES, permutations
from undertow.stats.result import TestResult

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
    estimate = float(np.clip(left @ right, -1.0, 1.0))
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
