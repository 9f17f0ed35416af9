"""The exact permutation test of the difference of two arms' means, with its interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from undertow.stats.arguments import Vector, count, finite_vector, fraction
from undertow.stats.designs import smallest_p_two_sample
from undertow.stats.interval import Interval
from undertow.stats.inversion import tolerance_of, two_sided
from undertow.stats.rearrangements import EXACT_LIMIT, RESAMPLES, Rows, subsets
from undertow.stats.result import TestResult


def two_sample_permutation(
    treated: ArrayLike,
    control: ArrayLike,
    *,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
    resamples: int = RESAMPLES,
) -> TestResult:
    """
    Two-sided permutation test of mean(treated) - mean(control), one value a run.

    p is the share of all C(n + m, n) splits with a difference at least as large in magnitude as
    the observed one (ties count). Above 200 000 splits `resamples` random ones are drawn with
    `rng` and p = (1 + hits) / (1 + resamples). The interval holds every shift that the same test
    does not reject; it is infinite where the design cannot reach the level (3 v 3 at .95).

    Raises:
        ValueError: An arm is empty or not finite, the level is not in (0, 1), or rng is missing.

    >>> result = two_sample_permutation([5, 6, 7, 8], [1, 2, 3, 4])
    >>> result.n, round(result.p * 70), result.interval.low, result.interval.high
    ('4 v 4', 2, 1.0, 7.0)
    """
    treated, control = finite_vector(treated, "treated"), finite_vector(control, "control")
    fraction(level, "level")
    n, m = treated.size, control.size
    rows = split_rows(n, m, rng, count(resamples, "resamples"))
    tolerance = tolerance_of(np.concatenate([treated, control]))
    ranges = two_sided(*split_statistics(treated, control, rows), tolerance)
    low, high = (float(end) for end in ranges.limits(level))
    estimate = float(treated.mean() - control.mean())
    interval = Interval(estimate, min(low, estimate), max(high, estimate), level, n + m)
    if math.comb(n + m, n) <= EXACT_LIMIT:
        smallest, test = smallest_p_two_sample(n, m), "exact two-sample permutation"
    else:
        smallest = 1 / (resamples + 1)
        test = f"Monte Carlo two-sample permutation, {resamples} splits"
    return TestResult(estimate, interval, ranges.p_at(0.0), smallest, f"{n} v {m}", test)


def split_rows(n: int, m: int, rng: np.random.Generator | None, resamples: int) -> Rows:
    """Splits of n + m runs, as the members of the smaller arm; see `rearrangements.subsets`."""
    return subsets(n + m, min(n, m), rng, resamples)


def split_statistics(treated: Vector, control: Vector, rows: Rows) -> tuple[Vector, Vector]:
    """
    Difference of means under each split, and the share of a shift that it keeps.

    Args:
        treated: Shape (..., n).
        control: Shape (..., m).
        rows: Splits from `split_rows`.

    Returns:
        Statistics of shape (..., splits) and weights of shape (splits,), as `inversion` wants.
    """
    n, m = treated.shape[-1], control.shape[-1]
    small, large, sign = (treated, control, 1.0) if n <= m else (control, treated, -1.0)
    pooled = np.concatenate([small, large], axis=-1)
    # Centring makes the other arm's sum the opposite, and keeps large offsets from rounding.
    pooled = pooled - pooled.mean(axis=-1, keepdims=True)
    sums = np.zeros((*pooled.shape[:-1], len(rows)))
    for column in rows.T:
        sums += pooled[..., column]
    scale = 1 / n + 1 / m
    moved = np.count_nonzero(rows >= small.shape[-1], axis=1)
    return sign * scale * sums, 1 - scale * moved
