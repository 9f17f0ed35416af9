"""The diagonal of a square matrix: known answers, properties, brute force, calibration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from undertow.stats import diagonal_contrast, double_centre, matrix_permutation

squares = st.integers(3, 5).flatmap(
    lambda size: arrays(
        np.float64,
        (size, size),
        elements=st.floats(-20, 20, allow_subnormal=False).map(lambda value: round(value, 2)),
    )
)


def test_double_centring_removes_rows_and_columns():
    """Sums of rows and columns vanish; an additive table becomes zero."""
    additive = np.add.outer([1.0, 5.0, -2.0], [3.0, 0.0, 7.0, 1.0])

    assert double_centre(additive) == pytest.approx(np.zeros((3, 4)), abs=1e-12)
    assert double_centre([[1, 0], [0, 1]]).tolist() == [[0.5, -0.5], [-0.5, 0.5]]


@settings(max_examples=60, deadline=None)
@given(squares)
def test_contrast_is_the_same_raw_or_double_centred(matrix: np.ndarray):
    """Mean diagonal minus mean off-diagonal, of the raw matrix and of the double-centred one."""
    off = ~np.eye(len(matrix), dtype=bool)
    centred = double_centre(matrix)

    assert diagonal_contrast(matrix) == pytest.approx(
        np.diag(matrix).mean() - matrix[off].mean(), abs=1e-9
    )
    assert diagonal_contrast(matrix) == pytest.approx(
        np.diag(centred).mean() - centred[off].mean(), abs=1e-9
    )


def test_five_by_five_diagonal_gives_one_in_120():
    """A diagonal above all else is the best of 120 permutations, on both sides."""
    matrix = np.eye(5) + 0.01 * np.arange(25).reshape(5, 5) % 0.07
    two, one = (
        matrix_permutation(matrix, alternative=alternative)
        for alternative in ("two-sided", "greater")
    )

    assert two.p == one.p == two.smallest_p == one.smallest_p == pytest.approx(1 / 120)
    assert (two.n, two.test) == ("5 x 5", "exact matrix permutation, two-sided")
    assert math.isinf(one.interval.high)


@settings(max_examples=25, deadline=None)
@given(squares)
def test_agrees_with_brute_force(matrix: np.ndarray):
    """p by plain enumeration of the contrast of the matrix with permuted columns."""
    observed = diagonal_contrast(matrix)
    contrasts = np.array(
        [
            diagonal_contrast(matrix[:, list(order)])
            for order in itertools.permutations(range(len(matrix)))
        ]
    )
    two = np.mean(np.abs(contrasts) >= abs(observed) - 1e-9)
    greater = np.mean(contrasts >= observed - 1e-9)

    assert matrix_permutation(matrix).p == pytest.approx(two)
    assert matrix_permutation(matrix, alternative="greater").p == pytest.approx(greater)


@settings(max_examples=40, deadline=None)
@given(squares, st.floats(-5, 5), st.floats(-5, 5))
def test_a_constant_on_the_diagonal_moves_the_interval_and_rows_do_not(
    matrix: np.ndarray, constant: float, row: float
):
    """The interval is equivariant in the diagonal and blind to row effects."""
    size = len(matrix)
    moved = matrix + constant * np.eye(size) + row * np.arange(size)[:, None]
    one = matrix_permutation(matrix, level=0.7).interval
    other = matrix_permutation(moved, level=0.7).interval

    assert other.estimate == pytest.approx(one.estimate + constant, abs=1e-8)
    assert (other.low, other.high) == pytest.approx(
        (one.low + constant, one.high + constant), abs=1e-8
    )


@settings(max_examples=60, deadline=None)
@given(squares, st.sampled_from([0.6, 0.8, 0.95]), st.sampled_from(["two-sided", "greater"]))
def test_interval_and_p_are_two_views_of_one_test(
    matrix: np.ndarray, level: float, alternative: str
):
    """Zero lies outside the interval exactly where p is at most 1 - level."""
    result = matrix_permutation(matrix, level=level, alternative=alternative)  # type: ignore[arg-type]
    interval = result.interval

    assert (interval.low > 0 or interval.high < 0) == (result.p <= 1 - level + 1e-12)
    assert interval.low <= interval.estimate <= interval.high
    assert result.smallest_p - 1e-15 <= result.p <= 1


def test_the_interval_covers_the_constant_on_the_diagonal():
    """4 x 4 noise plus a constant: the .75 interval covers it in 1 - 6/24 of experiments."""
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(2000):
        interval = matrix_permutation(rng.exponential(size=(4, 4)) + 2 * np.eye(4), level=0.75)
        covered.append(interval.interval.low <= 2 <= interval.interval.high)

    assert np.mean(covered) == pytest.approx(0.75, abs=0.035)


def test_a_two_by_two_matrix_gives_nothing_two_sided():
    """Its one other permutation always ties."""
    result = matrix_permutation([[9.0, 0.0], [0.0, 9.0]])

    assert result.p == result.smallest_p == 1.0
    assert math.isinf(result.interval.width)


def test_a_large_matrix_needs_a_generator():
    """Nine rows are refused without rng; with it the least p is 1 / (B + 1)."""
    with pytest.raises(ValueError, match="362880 rearrangements are too many"):
        matrix_permutation(np.eye(9))
    result = matrix_permutation(np.eye(9), rng=np.random.default_rng(2), resamples=499)

    assert result.p == result.smallest_p == 1 / 500


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1.0, 2.0]], "at least 2 rows and 2 columns"),
        ([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], r"must be square, got shape \(2, 3\)"),
        ([[1.0, math.nan], [0.0, 1.0]], r"must be finite, got nan at \(0, 1\)"),
    ],
)
def test_refuses_what_it_cannot_use(matrix: list[list[float]], message: str):
    """The message says the shape or the value and its place."""
    with pytest.raises(ValueError, match=message):
        matrix_permutation(matrix)


def test_an_unknown_alternative_is_named():
    """The allowed ones are listed."""
    with pytest.raises(ValueError, match="'two-sided' or 'greater', got 'less'"):
        matrix_permutation(np.eye(3), alternative="less")  # type: ignore[arg-type]
