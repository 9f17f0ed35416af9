"""
Square matrices of teachers by students or traits by probes: is the diagonal higher than the rest?
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from undertow.stats.arguments import Vector, count, finite_matrix, fraction
from undertow.stats.designs import smallest_p_matrix
from undertow.stats.interval import Interval
from undertow.stats.inversion import tolerance_of, two_sided, upper_sided
from undertow.stats.rearrangements import EXACT_ORDER, RESAMPLES, Rows, permutations
from undertow.stats.result import TestResult


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
    """
    Contrast under each permutation, and the share of a constant on the diagonal that it keeps.
    """
    size = len(values)
    diagonals = double_centre(values)[np.arange(size), rows].sum(axis=1)
    fixed = np.count_nonzero(rows == np.arange(size), axis=1)
    return diagonals / (size - 1), (fixed - 1) / (size - 1)
