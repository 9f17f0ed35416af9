"""
Exact inversion of a rearrangement test: for which true shifts each rearrangement counts.

All tests of this package have one form. If the true shift is d, the statistic of rearrangement i
is `t_i - w_i d`, where `w_i` in [-1, 1] is the share of the shift that the rearrangement keeps
(`w_0 = 1` for the observed arrangement). It is at least as extreme as the observed statistic where

    |t_i - w_i d| >= |t_0 - d|,

a quadratic inequality whose solution is the closed range between `(t_0 - t_i) / (1 - w_i)` and
`(t_0 + t_i) / (1 + w_i)`. Every range contains `t_0`, so p(d) falls on both sides of the estimate,
the shifts that are not rejected form one interval, and its limits are order statistics of the
ends of the ranges: no search. One-sided, `t_i - w_i d >= t_0 - d` holds from the first of the two
ends upwards. (Inversion of permutation tests: Lehmann & Romano, Testing Statistical Hypotheses,
3rd ed., 5.10-5.12; Garthwaite, Biometrics 52, 1996. For sign flips the ends are Hartigan's subset
means, JASA 64, 1969.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from undertow.stats.arguments import Vector

_ROUNDING = 1e-12
_SLACK = 1e-9


@dataclass(frozen=True)
class ShiftRanges:
    """The closed ranges of true shifts for which each rearrangement is at least as extreme."""

    low: Vector
    """Lower ends, shape (..., rearrangements)."""

    high: Vector
    """Upper ends, of the same shape."""

    tolerance: float = 0.0
    """Shifts closer than this count as equal (ties survive rounding)."""

    def p_at(self, shift: float) -> float:
        """p-value of the hypothesis that the true shift is `shift`."""
        counted = (self.low <= shift + self.tolerance) & (self.high >= shift - self.tolerance)
        return float(np.count_nonzero(counted) / counted.size)

    def limits(self, level: float) -> tuple[Vector, Vector]:
        """Ends of the set of shifts with p above 1 - level; infinite where every shift has."""
        # Slack: (1 - .9) * 20 must count as 2, as p = .10 is to reject at level .90.
        rank = int(np.floor((1 - level) * self.low.shape[-1] + _SLACK))
        low = np.partition(self.low, rank, axis=-1)[..., rank]
        high = -np.partition(-self.high, rank, axis=-1)[..., rank]
        return self._snap(low), self._snap(high)

    def _snap(self, ends: Vector) -> Vector:
        # Keeps "p <= 1 - level" and "0 lies outside the interval" the same statement under ties.
        return np.where(np.abs(ends) <= self.tolerance, 0.0, ends)


def two_sided(statistics: Vector, weights: Vector, tolerance: float = 0.0) -> ShiftRanges:
    """
    Ranges of the two-sided test.

    Args:
        statistics: `t`, shape (..., rearrangements); the first is the observed one.
        weights: `w`, shape (rearrangements,).
        tolerance: See `tolerance_of`.
    """
    observed = statistics[..., :1]
    # A rearrangement that keeps or reverses the whole shift ties at every shift.
    always = (1 - np.abs(weights)) < _SLACK
    first = (observed - statistics) / np.where(always, 1.0, 1 - weights)
    second = (observed + statistics) / np.where(always, 1.0, 1 + weights)
    low = np.where(always, -np.inf, np.minimum(first, second))
    high = np.where(always, np.inf, np.maximum(first, second))
    return ShiftRanges(low, high, tolerance)


def upper_sided(statistics: Vector, weights: Vector, tolerance: float = 0.0) -> ShiftRanges:
    """Ranges of the one-sided test against larger shifts; its interval has no upper limit."""
    same = (1 - weights) < _SLACK
    first = (statistics[..., :1] - statistics) / np.where(same, 1.0, 1 - weights)
    low = np.where(same, -np.inf, first)
    return ShiftRanges(low, np.full_like(low, np.inf), tolerance)


def lower_sided(statistics: Vector, weights: Vector, tolerance: float = 0.0) -> ShiftRanges:
    """Ranges of the one-sided test against smaller shifts; its interval has no lower limit."""
    mirrored = upper_sided(-statistics, weights, tolerance)
    return ShiftRanges(-mirrored.high, -mirrored.low, tolerance)


def tolerance_of(values: Vector) -> float:
    """Distance below which statistics of these values count as tied."""
    return _ROUNDING * float(np.max(np.abs(values)))
