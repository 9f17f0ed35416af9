"""
The exact tests over runs, with their intervals, and the least shift that one would have seen.

Two arms, pairs, and square matrices of teachers by students or traits by probes: is the diagonal higher than the rest?
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from undertow.stats.arguments import Vector, count, finite_matrix, finite_vector, fraction, positive
from undertow.stats.designs import (
    EXACT_LIMIT,
    EXACT_ORDER,
    RESAMPLES,
    Rows,
    pairs_in_words,
    permutations,
    signs,
    smallest_p_matrix,
    smallest_p_sign_flip,
    smallest_p_two_sample,
    subsets,
    tolerance_of,
    two_sided,
    upper_sided,
)
from undertow.stats.interval import Interval, TestResult

_MOST_ROWS = 2_000
_BLOCK = 250
"""Most rearrangements of a simulated test, and data sets simulated at a time."""

_SLACK = 1e-12


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
    return TestResult(
        estimate, interval, ranges.p_at(0.0), smallest, pairs_in_words(values.size), test
    )


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


def double_centre(matrix: ArrayLike) -> Vector:
    """
    Matrix without row and column effects: `m_ij - mean_i. - mean_.j + mean_..`.

    Raises:
        ValueError: Fewer than 2 rows or columns, or not finite.
    """
    values = finite_matrix(matrix, "matrix")
    rows = values.mean(axis=1, keepdims=True)
    columns = values.mean(axis=0, keepdims=True)
    return np.asarray(values - rows - columns + values.mean())


def diagonal_contrast(matrix: ArrayLike) -> float:
    """
    Mean of the diagonal minus mean of the other cells.

    It is the same for the raw and the double-centred matrix, as each row and each column has one
    diagonal cell: `(trace - total / k) / (k - 1)`, which is k / (k - 1) times the mean diagonal of
    the double-centred matrix.

    Raises:
        ValueError: Not square, fewer than 2 rows, or not finite.

    >>> diagonal_contrast([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    1.0
    """
    centred = double_centre(finite_matrix(matrix, "matrix", square=True))
    return float(np.trace(centred) / (len(centred) - 1))


def matrix_permutation(
    matrix: ArrayLike,
    *,
    level: float = 0.95,
    alternative: Literal["two-sided", "greater"] = "two-sided",
    rng: np.random.Generator | None = None,
    resamples: int = RESAMPLES,
) -> TestResult:
    """
    Permutation test of the diagonal contrast: columns are permuted against rows.

    Two-sided, p is the share of the k! permutations whose contrast is at least as large in
    magnitude as the observed one; "greater" counts the contrasts that are not smaller, and its
    interval has no upper limit. Above k = 8 `resamples` random permutations are drawn with `rng`
    and p = (1 + hits) / (1 + resamples). The interval holds every constant that could have been
    added to the diagonal of a matrix without one and that the same test does not reject.

    Raises:
        ValueError: Not square, fewer than 2 rows, not finite, a level outside (0, 1), an unknown
            alternative, or rng is missing.
    """
    values = finite_matrix(matrix, "matrix", square=True)
    fraction(level, "level")
    if alternative not in ("two-sided", "greater"):
        raise ValueError(f"alternative must be 'two-sided' or 'greater', got '{alternative}'")
    size = len(values)
    rows = permutations(size, rng, count(resamples, "resamples"))
    invert = two_sided if alternative == "two-sided" else upper_sided
    ranges = invert(*_contrasts(values, rows), tolerance_of(values))
    low, high = (float(end) for end in ranges.limits(level))
    estimate = diagonal_contrast(values)
    interval = Interval(estimate, min(low, estimate), max(high, estimate), level, size)
    smallest = smallest_p_matrix(size, sides=2 if alternative == "two-sided" else 1)
    test = f"exact matrix permutation, {alternative}"
    if size > EXACT_ORDER:
        smallest = 1 / (resamples + 1)
        test = f"Monte Carlo matrix permutation, {alternative}, {resamples} permutations"
    return TestResult(estimate, interval, ranges.p_at(0.0), smallest, f"{size} x {size}", test)


def _contrasts(values: Vector, rows: Rows) -> tuple[Vector, Vector]:
    """Contrast under each permutation, and the share of a constant on the diagonal that it keeps."""
    size = len(values)
    diagonals = double_centre(values)[np.arange(size), rows].sum(axis=1)
    fixed = np.count_nonzero(rows == np.arange(size), axis=1)
    return diagonals / (size - 1), (fixed - 1) / (size - 1)


def detectable_effect(
    sd: float | tuple[float, float],
    n: int,
    m: int | None = None,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    power: float = 0.8,
    simulations: int = 4_000,
) -> float:
    """
    Smallest shift that the exact test would have seen with the given power, in the unit of `sd`.

    Normal runs without a shift are drawn and tested. A shift moves the interval of the test by
    itself, so the least shift at which a drawn data set is rejected is minus its lower limit; the
    answer is the quantile of these over data sets. It takes the standard deviation as known. It is
    proportional to `sd`: where one design is asked for often, call once with sd 1 and scale.

    Args:
        sd: Standard deviation within arms (one number, or treated and control), or of the
            differences of pairs.
        n: Runs of the treated arm, or pairs.
        m: Runs of the control arm; None for the sign-flip test of n pairs.
        rng: Source of the simulated runs.
        level: Confidence level of the test.
        power: Chance of rejection asked for.
        simulations: Number of data sets; 4 000 give about 2 % relative error.

    Returns:
        The shift; infinite where the design cannot reach the level.

    Raises:
        ValueError: A number is out of range.
    """
    alpha = 1 - fraction(level, "level")
    fraction(power, "power")
    spreads = _spreads(sd, m)
    if _smallest_p(n, m) > alpha + _SLACK:
        return math.inf
    rows = _rows(n, m, alpha, rng)
    shifts = []
    for start in range(0, count(simulations, "simulations"), _BLOCK):
        size = min(_BLOCK, simulations - start)
        shifts.append(_least_shifts(spreads, (size, n), m, rows, level, rng))
    return float(np.quantile(np.concatenate(shifts), power, method="higher"))


def _least_shifts(
    spreads: tuple[float, float],
    shape: tuple[int, int],
    m: int | None,
    rows: Rows,
    level: float,
    rng: np.random.Generator,
) -> Vector:
    treated = rng.standard_normal(shape) * spreads[0]
    if m is None:
        low, _ = two_sided(*flip_statistics(treated, rows)).limits(level)
    else:
        control = rng.standard_normal((shape[0], m)) * spreads[1]
        low, _ = two_sided(*split_statistics(treated, control, rows)).limits(level)
    return -low


def _rows(n: int, m: int | None, alpha: float, rng: np.random.Generator) -> Rows:
    """All rearrangements of the design, or the observed one and enough random ones."""
    most = max(_MOST_ROWS, math.ceil(20 / alpha))
    rows = signs(n, rng, most) if m is None else split_rows(n, m, rng, most)
    if len(rows) <= most + 1:
        return rows
    drawn = rng.choice(np.arange(1, len(rows)), size=most, replace=False)
    return np.vstack([rows[:1], rows[drawn]])


def _smallest_p(n: int, m: int | None) -> float:
    return smallest_p_sign_flip(n) if m is None else smallest_p_two_sample(n, m)


def _spreads(sd: float | tuple[float, float], m: int | None) -> tuple[float, float]:
    if not isinstance(sd, tuple):
        return (positive(sd, "sd", or_zero=True),) * 2
    if m is None:
        raise ValueError(f"pairs have one sd, of their differences, got {sd}")
    return positive(sd[0], "sd", or_zero=True), positive(sd[1], "sd", or_zero=True)
