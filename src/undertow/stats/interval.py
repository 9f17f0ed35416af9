"""Estimates with their intervals: means of few runs, shares of rows and their differences; and the result of a test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

# scipy.special alone: scipy.stats takes a second to import.
from scipy import special  # type: ignore[import-untyped, unused-ignore]

from undertow.stats.arguments import count, finite_vector

Hits = NDArray[np.bool_]
"""(rows,) whether each row shows what is counted."""


@dataclass(frozen=True)
class Interval:
    """An estimate with a two-sided confidence interval."""

    estimate: float
    """Point estimate, in the unit of the measurement."""

    low: float
    """Lower confidence limit; `-inf` where the design gives none."""

    high: float
    """Upper confidence limit; `inf` where the design gives none."""

    level: float
    """Confidence level, in (0, 1)."""

    n: int
    """Number of independent units (runs, not samples) behind the estimate."""

    def __post_init__(self) -> None:
        # The one place where a level is checked: whatever makes an interval may be given any.
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie in (0, 1), got {self.level}")
        if math.isnan(self.estimate) or math.isnan(self.low) or math.isnan(self.high):
            raise ValueError(f"interval holds NaN: {self.estimate} [{self.low}, {self.high}]")
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")

    @property
    def width(self) -> float:
        """Distance between the limits."""
        return self.high - self.low


@dataclass(frozen=True)
class TestResult:
    """What a test over independent runs found."""

    # pytest would collect a class of this name wherever a test module imports it.
    __test__: ClassVar[bool] = False

    estimate: float
    """Point estimate, in the unit of the measurement."""

    interval: Interval
    """Confidence interval around the estimate."""

    p: float
    """p-value, two-sided unless `test` says otherwise."""

    smallest_p: float
    """The least p that a design of this size can give."""

    n: str
    """Number of runs in words: `4 v 4`, `6 pairs`, `5 x 5`, `8 points`."""

    test: str
    """Name of the test, in words."""


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    return float(special.ndtri(probability))


def t_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t distribution."""
    return float(special.stdtrit(degrees, probability))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Quantile of the beta distribution."""
    return float(special.betaincinv(a, b, probability))


def mean_t(values: ArrayLike, level: float = 0.95) -> Interval:
    """
    Mean with Student's t interval (normal runs); infinite for a single run.

    Raises:
        ValueError: No values, not finite, or a level outside (0, 1).
    """
    vector = finite_vector(values, "values")
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


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """
    Exact interval of the share k / n: errs by at most (1 - level) / 2 on either side.

    Source: Clopper & Pearson, Biometrika 26, 1934. Use it for rare events, where Wilson's errs
    more often than it says.

    Raises:
        ValueError: Not 0 <= k <= n with n >= 1, or a level outside (0, 1).
    """
    k, n = _counts(k, n)
    tail = (1 - level) / 2
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
    z = normal_quantile((1 + level) / 2)
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At k = 0 and k = n the end is exact; rounding would push it past the estimate.
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    return Interval(share, low, high, level, n)


def share_difference(
    first: Hits, second: Hits, *, matched: bool, level: float
) -> tuple[Interval, float]:
    """
    Share of hits in `first` minus that in `second`, with its interval, and the exact two-sided p of equal shares.

    Where row i of both belongs together, Newcombe's interval for pairs and McNemar's exact test (the sign test over
    pairs that disagree); otherwise his interval for independent samples and Fisher's exact test.

    Raises:
        ValueError: a side is empty, matched sides differ in length, or the level is not in (0, 1).
    """
    if not first.size or not second.size:
        raise ValueError(f"both sides need rows, got {first.size} and {second.size}")
    if matched and first.size != second.size:
        raise ValueError(f"matched sides must be equally many, got {first.size} and {second.size}")
    if not matched:
        hits = int(first.sum()), first.size, int(second.sum()), second.size
        return newcombe(*hits, level), fisher(*hits)
    only = int((first & ~second).sum()), int((second & ~first).sum())
    both = int((first & second).sum())
    cells = both, *only, first.size - both - sum(only)
    return newcombe_paired(*cells, level), mcnemar(*only)


def newcombe(k: int, n: int, hits: int, of: int, level: float = 0.95) -> Interval:
    """
    Interval of k / n - hits / of, from the Wilson interval of each.

    Source: Newcombe, Statistics in Medicine 17, 1998, p. 873, method 10.
    """
    first, second = wilson(k, n, level), wilson(hits, of, level)
    return _combined(first, second, 0.0, n + of)


def newcombe_paired(
    both: int, first_only: int, second_only: int, neither: int, level: float = 0.95
) -> Interval:
    """
    Interval of the difference of two shares of the same pairs, from the Wilson interval of each and their correlation.

    Source: Newcombe, Statistics in Medicine 17, 1998, p. 2635, method 10 (its correlation is corrected for continuity).

    >>> interval = newcombe_paired(36, 12, 2, 0)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.0569, 0.3404)
    """
    n = both + first_only + second_only + neither
    first = wilson(both + first_only, n, level)
    second = wilson(both + second_only, n, level)
    return _combined(first, second, _correlation(both, first_only, second_only, neither), n)


def fisher(k: int, n: int, hits: int, of: int) -> float:
    """Fisher's exact two-sided p of one share behind k of n and `hits` of `of`."""
    from scipy.stats import fisher_exact

    return float(fisher_exact([[k, n - k], [hits, of - hits]]).pvalue)


def mcnemar(first_only: int, second_only: int) -> float:
    """
    Exact two-sided p of pairs that disagree being as likely to do so either way; 1 without any.

    >>> mcnemar(6, 0) * 32
    1.0
    """
    if first_only + second_only == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(first_only, first_only + second_only).pvalue)


def _counts(k: int, n: int) -> tuple[int, int]:
    k, n = count(k, "k", at_least=0), count(n, "n")
    if k > n:
        raise ValueError(f"k must be at most n, got {k} of {n}")
    return k, n


def _combined(first: Interval, second: Interval, correlation: float, n: int) -> Interval:
    estimate = first.estimate - second.estimate

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(one**2 - 2 * correlation * one * other + other**2, 0.0))

    below = reach(first.estimate - first.low, second.high - second.estimate)
    above = reach(first.high - first.estimate, second.estimate - second.low)
    return Interval(estimate, estimate - below, estimate + above, first.level, n)


def _correlation(both: int, first_only: int, second_only: int, neither: int) -> float:
    n = both + first_only + second_only + neither
    margins = (
        (both + first_only)
        * (second_only + neither)
        * (both + second_only)
        * (first_only + neither)
    )
    if margins == 0:
        return 0.0
    excess = float(both * neither - first_only * second_only)
    if excess > 0:
        excess = max(excess - n / 2, 0.0)
    return excess / math.sqrt(margins)
