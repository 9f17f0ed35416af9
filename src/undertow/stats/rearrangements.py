"""
Every rearrangement of a design, or random ones, the first row always the observed one; and the exact inversion of a
test: for which true shifts each rearrangement counts.

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

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from undertow.stats.arguments import Vector

EXACT_LIMIT = 200_000
"""Most rearrangements that are enumerated: covers 10 v 10 runs and 18 pairs."""

EXACT_ORDER = 8
"""Most objects whose permutations are enumerated (8! = 40 320)."""

RESAMPLES = 9_999
"""Random rearrangements drawn where there are too many to enumerate."""

_ROUNDING = 1e-12
_SLACK = 1e-9

Rows = NDArray[np.int32]


def subsets(total: int, size: int, rng: np.random.Generator | None, resamples: int) -> Rows:
    """
    Subsets of `size` out of `total`, one a row, shape (subsets, size).

    Raises:
        ValueError: There are more than `EXACT_LIMIT` and no generator was passed.
    """
    number = math.comb(total, size)
    if number <= EXACT_LIMIT:
        return _all_subsets(total, size)
    return _random_orders(total, _generator(rng, number), resamples)[:, :size]


def signs(size: int, rng: np.random.Generator | None, resamples: int) -> Rows:
    """
    Rows of +1 and -1, shape (rows, size), one of each pair (signs, opposite signs).

    A two-sided test counts both of a pair or neither, so half of the 2^size rows suffice.

    Raises:
        ValueError: There are more than `EXACT_LIMIT` and no generator was passed.
    """
    number = 2 ** (size - 1)
    if number <= EXACT_LIMIT:
        return _all_signs(size)
    drawn = _generator(rng, number).integers(0, 2, (resamples, size), dtype=np.int32)
    return np.vstack([np.ones((1, size), dtype=np.int32), 1 - 2 * drawn])


def permutations(size: int, rng: np.random.Generator | None, resamples: int) -> Rows:
    """
    Permutations of `size` objects, one a row, shape (permutations, size).

    Raises:
        ValueError: There are more than `EXACT_ORDER` objects and no generator was passed.
    """
    if size <= EXACT_ORDER:
        return _all_permutations(size)
    return _random_orders(size, _generator(rng, math.factorial(size)), resamples)


def _generator(rng: np.random.Generator | None, number: int) -> np.random.Generator:
    if rng is None:
        raise ValueError(f"{number} rearrangements are too many to enumerate: pass rng")
    return rng


def _random_orders(size: int, rng: np.random.Generator, resamples: int) -> Rows:
    rows = np.tile(np.arange(size, dtype=np.int32), (resamples + 1, 1))
    rows[1:] = rng.permuted(rows[1:], axis=1)
    return rows


@lru_cache(maxsize=8)
def _all_subsets(total: int, size: int) -> Rows:
    flat = itertools.chain.from_iterable(itertools.combinations(range(total), size))
    return _frozen(np.fromiter(flat, dtype=np.int32).reshape(-1, size))


@lru_cache(maxsize=8)
def _all_signs(size: int) -> Rows:
    # The highest bit stays 0: the last sign is fixed, which picks one of each opposite pair.
    bits = (np.arange(2 ** (size - 1))[:, None] >> np.arange(size)) & 1
    return _frozen((1 - 2 * bits).astype(np.int32))


@lru_cache(maxsize=8)
def _all_permutations(size: int) -> Rows:
    flat = itertools.chain.from_iterable(itertools.permutations(range(size)))
    return _frozen(np.fromiter(flat, dtype=np.int32).reshape(-1, size))


def _frozen(rows: Rows) -> Rows:
    rows.setflags(write=False)
    return rows


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


def tolerance_of(values: Vector) -> float:
    """Distance below which statistics of these values count as tied."""
    return _ROUNDING * float(np.max(np.abs(values)))
