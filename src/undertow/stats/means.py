"""
Means of few runs: the t interval, and the standard deviation within arms.
"""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from undertow.stats.arguments import finite_vector, fraction
from undertow.stats.interval import Interval
from undertow.stats.quantiles import t_quantile


def mean_t(values: ArrayLike, level: float = 0.95) -> Interval:
    """
    Mean with Student's t interval (normal runs); infinite for a single run.

    Raises:
        ValueError: No values, not finite, or a level outside (0, 1).
    """
    vector = finite_vector(values, "values")
    fraction(level, "level")
    n = vector.size
    mean = float(vector.mean())
    if n == 1:
        return Interval(mean, -math.inf, math.inf, level, 1)
    error = float(vector.std(ddof=1)) / math.sqrt(n)
    half = t_quantile((1 + level) / 2, n - 1) * error
    return Interval(mean, mean - half, mean + half, level, n)


def pooled_sd(treated: ArrayLike, control: ArrayLike) -> float:
    """
    Standard deviation within the two arms, pooled by degrees of freedom.

    Raises:
        ValueError: An arm is empty or not finite, or each holds a single run.
    """
    arms = finite_vector(treated, "treated"), finite_vector(control, "control")
    degrees = sum(arm.size - 1 for arm in arms)
    if degrees < 1:
        raise ValueError("a standard deviation within arms needs 2 runs in one of them, got 1 v 1")
    squares = sum(float(((arm - arm.mean()) ** 2).sum()) for arm in arms)
    return math.sqrt(squares / degrees)
