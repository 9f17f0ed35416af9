"""Means of few runs: the t interval, the ratio of two, and the standard deviation within arms."""

from __future__ import annotations

import math

import numpy as np
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
