"""What a design of a given size can show: its least p, and in words why it cannot support a claim."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from undertow.stats.arguments import Vector, count, fraction

_SLACK = 1e-12


def smallest_p_two_sample(n: int, m: int) -> float:
    """
    Least two-sided p of the permutation test of n runs against m.

    With equal arms the split with all labels exchanged ties with the observed one.

    >>> smallest_p_two_sample(3, 3)
    0.1
    """
    splits = math.comb(count(n, "n") + count(m, "m"), n)
    return (2 if n == m else 1) / splits


def smallest_p_sign_flip(n: int) -> float:
    """
    Least two-sided p of the sign-flip test of n pairs: 2 / 2^n.

    >>> smallest_p_sign_flip(6)
    0.03125
    """
    return 2.0 ** (1 - count(n, "n"))


def smallest_p_matrix(size: int, *, sides: int = 2) -> float:
    """
    Least p of the permutation test of a square matrix's diagonal: 1 / size!.

    Two-sided, a 2 x 2 matrix gives nothing: its one other permutation always ties.
    """
    number = math.factorial(count(size, "size", at_least=2))
    return 1.0 if size == sides == 2 else 1 / number


def smallest_p_rank_correlation(n: int) -> float:
    """Least two-sided p of the permutation test of a rank correlation of n points: 2 / n!."""
    return min(1.0, 2 / math.factorial(count(n, "n", at_least=2)))


def supports(level: float, smallest_p: float, *, n: str = "") -> str | None:
    """
    Why a design cannot support a claim at a confidence level; None where it can.

    Args:
        level: Confidence level of the claim; .95 asks for p of at most .05.
        smallest_p: Least p of the design (`TestResult.smallest_p`).
        n: Number of runs in the words of `TestResult.n`; the sentence then names the design.

    Raises:
        ValueError: The level or smallest_p is out of range, or `n` is in no known form.

    >>> print(supports(0.95, 0.1, n="3 v 3"))
    3 runs against 3 can give no two-sided p below .10; \
with equal arms, at least 4 an arm are needed for .05
    """
    alpha = 1 - fraction(level, "level")
    if not 0 < smallest_p <= 1:
        raise ValueError(f"smallest_p must lie in (0, 1], got {smallest_p}")
    if smallest_p <= alpha + _SLACK:
        return None
    design = _named_design(n, alpha)
    subject, needed = design.subject, design.needed
    if design.smallest_p <= alpha + _SLACK:
        subject = f"{subject} with so few random rearrangements"
        needed = f"at least {math.ceil(1 / alpha - _SLACK) - 1} of them"
    return (
        f"{subject} can give no {design.noun} below {in_words(smallest_p)}; "
        f"{needed} are needed for {in_words(alpha)}"
    )


def in_words(p: float) -> str:
    """
    A probability as papers print it: three digits that count, no leading zero.

    >>> in_words(0.1), in_words(2 / 70), in_words(1.0)
    ('.10', '.0286', '1')
    """
    text = str(np.format_float_positional(p, precision=3, fractional=False, trim="-"))
    text = text.removeprefix("0")
    return f"{text}0" if re.fullmatch(r"\.\d", text) else text


def pairs_in_words(n: int) -> str:
    """
    The size of a design of pairs, as `supports` reads it.

    >>> pairs_in_words(1), pairs_in_words(6)
    ('1 pair', '6 pairs')
    """
    return "1 pair" if n == 1 else f"{n} pairs"


@dataclass(frozen=True)
class _Design:
    subject: str
    noun: str
    smallest_p: float
    needed: str


def _named_design(n: str, alpha: float) -> _Design:
    arms = _least(lambda size: smallest_p_two_sample(size, size), alpha)
    pairs = _least(smallest_p_sign_flip, alpha)
    if not n:
        needed = f"at least {arms} runs an arm or {pairs} pairs"
        return _Design("this design", "p", 1.0, needed)
    form = re.fullmatch(r"(\d+)(?: (v|x) (\d+)| (pairs?|points))", n)
    if form is None:
        forms = "'4 v 4', '6 pairs', '5 x 5', '8 points'"
        raise ValueError(f"n must be in one of the forms {forms}, got '{n}'")
    size, other = int(form[1]), int(form[3] or 0)
    match form[2] or form[4]:
        case "v":
            smallest = smallest_p_two_sample(size, other)
            needed = f"with equal arms, at least {arms} an arm"
            return _Design(f"{size} runs against {other}", "two-sided p", smallest, needed)
        case "x":
            needed = f"at least {_least(smallest_p_matrix, alpha)} rows and columns"
            return _Design(f"a {n} matrix", "p", smallest_p_matrix(size), needed)
        case "pair" | "pairs":
            needed = f"at least {pairs} pairs"
            return _Design(n, "two-sided p", smallest_p_sign_flip(size), needed)
        case _:
            needed = f"at least {_least(smallest_p_rank_correlation, alpha)} points"
            return _Design(n, "two-sided p", smallest_p_rank_correlation(size), needed)


def _least(smallest_p: Callable[[int], float], alpha: float) -> int:
    return next(size for size in itertools.count(2) if smallest_p(size) <= alpha + _SLACK)


EXACT_LIMIT = 200_000
"""Most rearrangements that are enumerated: covers 10 v 10 runs and 18 pairs."""

EXACT_ORDER = 8
"""Most objects whose permutations are enumerated (8! = 40 320)."""

RESAMPLES = 9_999
"""Random rearrangements drawn where there are too many to enumerate."""

_ROUNDING = 1e-12
_SLACK_OF_SUMS = 1e-9

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
        rank = int(np.floor((1 - level) * self.low.shape[-1] + _SLACK_OF_SUMS))
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
    always = (1 - np.abs(weights)) < _SLACK_OF_SUMS
    first = (observed - statistics) / np.where(always, 1.0, 1 - weights)
    second = (observed + statistics) / np.where(always, 1.0, 1 + weights)
    low = np.where(always, -np.inf, np.minimum(first, second))
    high = np.where(always, np.inf, np.maximum(first, second))
    return ShiftRanges(low, high, tolerance)


def upper_sided(statistics: Vector, weights: Vector, tolerance: float = 0.0) -> ShiftRanges:
    """Ranges of the one-sided test against larger shifts; its interval has no upper limit."""
    same = (1 - weights) < _SLACK_OF_SUMS
    first = (statistics[..., :1] - statistics) / np.where(same, 1.0, 1 - weights)
    low = np.where(same, -np.inf, first)
    return ShiftRanges(low, np.full_like(low, np.inf), tolerance)


def tolerance_of(values: Vector) -> float:
    """Distance below which statistics of these values count as tied."""
    return _ROUNDING * float(np.max(np.abs(values)))
