"""Arguments of the statistics, checked: finite arrays, levels inside (0, 1), whole numbers of runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]


def finite_array(values: ArrayLike, name: str) -> Vector:
    """
    Array of finite floats, of any shape.

    Raises:
        ValueError: It holds NaN or infinity; the message says where.
    """
    array = np.asarray(values, dtype=np.float64)
    broken = np.argwhere(~np.isfinite(array))
    if broken.size:
        place = tuple(int(index) for index in broken[0])
        where = place[0] if len(place) == 1 else place
        raise ValueError(f"{name} must be finite, got {array[place]} at {where}")
    return array


def finite_vector(values: ArrayLike, name: str, *, at_least: int = 1) -> Vector:
    """
    One-dimensional array of finite floats.

    Raises:
        ValueError: It is not one-dimensional, too short, or holds NaN or infinity.
    """
    vector = finite_array(values, name)
    if vector.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {vector.shape}")
    if vector.size < at_least:
        raise ValueError(f"{name} needs at least {at_least} value(s), got {vector.size}")
    return vector


def finite_matrix(values: ArrayLike, name: str, *, square: bool = False) -> Vector:
    """
    Two-dimensional array of finite floats with at least two rows and two columns.

    Raises:
        ValueError: Its shape does not fit, or it holds NaN or infinity.
    """
    matrix = finite_array(values, name)
    if matrix.ndim != 2 or min(matrix.shape) < 2:
        raise ValueError(f"{name} needs at least 2 rows and 2 columns, got shape {matrix.shape}")
    if square and matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be square, got shape {matrix.shape}")
    return matrix


def fraction(value: float, name: str) -> float:
    """
    A number strictly inside (0, 1): a confidence level, an error rate, a power.

    Raises:
        ValueError: It lies outside.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie in (0, 1), got {value}")
    return float(value)


def positive(value: float, name: str, *, or_zero: bool = False) -> float:
    """
    A finite number above zero (or not below it, with `or_zero`).

    Raises:
        ValueError: It is not.
    """
    if not np.isfinite(value) or value < 0 or (value == 0 and not or_zero):
        bound = "at least" if or_zero else "above"
        raise ValueError(f"{name} must be finite and {bound} 0, got {value}")
    return float(value)


def count(value: int, name: str, *, at_least: int = 1) -> int:
    """
    A whole number that is not below `at_least`.

    Raises:
        ValueError: It is not whole, or below.
    """
    if not np.isfinite(value) or value != int(value) or value < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}, got {value}")
    return int(value)
