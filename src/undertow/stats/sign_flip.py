"""The exact sign-flip test of paired runs, with its interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from undertow.stats.arguments import Vector, count, finite_vector, fraction
from undertow.stats.designs import smallest_p_sign_flip
from undertow.stats.interval import Interval
from undertow.stats.inversion import tolerance_of, two_sided
from undertow.stats.rearrangements import EXACT_LIMIT, RESAMPLES, Rows, signs
from undertow.stats.result import TestResult


def sign_flip(
    differences: ArrayLike,
    *,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
    resamples: int = RESAMPLES,
) -> TestResult:
    """
    Two-sided sign-flip test of the mean of paired differences, one value a pair.

    p is the share of all 2^n sign patterns whose mean is at least as large in magnitude as the
    observed one (ties count). Above 18 pairs `resamples` random patterns are drawn with `rng` and
    p = (1 + hits) / (1 + resamples). The interval holds every shift that the same test does not
    reject: its limits are means of subsets of the differences.

    Raises:
        ValueError: No differences, not finite, a level outside (0, 1), or rng is missing.

    >>> result = sign_flip([1, 2, 3, 4, 5, 6])
    >>> result.p, round(result.interval.low, 9), round(result.interval.high, 9)
    (0.03125, 1.0, 6.0)
    """
    values = finite_vector(differences, "differences")
    fraction(level, "level")
    rows = signs(values.size, rng, count(resamples, "resamples"))
    ranges = two_sided(*flip_statistics(values, rows), tolerance_of(values))
    low, high = (float(end) for end in ranges.limits(level))
    estimate = float(values.mean())
    interval = Interval(estimate, min(low, estimate), max(high, estimate), level, values.size)
    if 2 ** (values.size - 1) <= EXACT_LIMIT:
        smallest, test = smallest_p_sign_flip(values.size), "exact sign-flip"
    else:
        smallest, test = 1 / (resamples + 1), f"Monte Carlo sign-flip, {resamples} patterns"
    return TestResult(estimate, interval, ranges.p_at(0.0), smallest, f"{values.size} pairs", test)


def flip_statistics(differences: Vector, rows: Rows) -> tuple[Vector, Vector]:
    """
    Mean under each sign pattern, and the share of a shift that it keeps.

    Args:
        differences: Shape (..., n).
        rows: Patterns of +1 and -1, shape (patterns, n).

    Returns:
        Statistics of shape (..., patterns) and weights of shape (patterns,), as `inversion` wants.
    """
    n = differences.shape[-1]
    return differences @ rows.T.astype(np.float64) / n, rows.mean(axis=1)
