"""Proportions: the exact Clopper-Pearson interval, and Wilson's."""

from __future__ import annotations

import math

from undertow.stats.arguments import count, fraction
from undertow.stats.interval import Interval
from undertow.stats.quantiles import beta_quantile, normal_quantile


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """
    Exact interval of the share k / n: errs by at most (1 - level) / 2 on either side.

    Source: Clopper & Pearson, Biometrika 26, 1934. Use it for rare events, where Wilson's errs
    more often than it says.

    Raises:
        ValueError: Not 0 <= k <= n with n >= 1, or a level outside (0, 1).
    """
    k, n = _counts(k, n)
    tail = (1 - fraction(level, "level")) / 2
    low = beta_quantile(tail, k, n - k + 1) if k > 0 else 0.0
    high = beta_quantile(1 - tail, k + 1, n - k) if k < n else 1.0
    return Interval(k / n, low, high, level, n)


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """
    Wilson's score interval of the share k / n: right on average, not for every share.

    Source: Wilson, JASA 22, 1927.

    Raises:
        ValueError: Not 0 <= k <= n with n >= 1, or a level outside (0, 1).
    """
    k, n = _counts(k, n)
    z = normal_quantile((1 + fraction(level, "level")) / 2)
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At k = 0 and k = n the end is exact; rounding would push it past the estimate.
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    return Interval(share, low, high, level, n)


def _counts(k: int, n: int) -> tuple[int, int]:
    k, n = count(k, "k", at_least=0), count(n, "n")
    if k > n:
        raise ValueError(f"k must be at most n, got {k} of {n}")
    return k, n
