"""Many p-values at once: Holm for any error, Benjamini-Hochberg for the share of false findings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from undertow.stats.arguments import Vector, finite_vector


def holm(pvalues: ArrayLike) -> Vector:
    """
    Adjusted p-values that bound the chance of any false rejection, in the order given.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979. Holds under any dependence.

    Raises:
        ValueError: No p-values, or one outside [0, 1].

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = _probabilities(pvalues)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(values.size, 0, -1)
    return _restore(np.maximum.accumulate(scaled), order)


def benjamini_hochberg(pvalues: ArrayLike) -> Vector:
    """
    Adjusted p-values that bound the expected share of false findings, in the order given.

    Source: Benjamini & Hochberg, JRSS B 57, 1995. Holds for independent or positively dependent
    tests.

    Raises:
        ValueError: No p-values, or one outside [0, 1].

    >>> benjamini_hochberg([0.01, 0.04, 0.02]).tolist()
    [0.03, 0.04, 0.03]
    """
    values = _probabilities(pvalues)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * values.size / np.arange(1, values.size + 1)
    return _restore(np.minimum.accumulate(scaled[::-1])[::-1], order)


def _probabilities(pvalues: ArrayLike) -> Vector:
    values = finite_vector(pvalues, "pvalues")
    outside = values[(values < 0) | (values > 1)]
    if outside.size:
        raise ValueError(f"pvalues must lie in [0, 1], got {outside[0]}")
    return values


def _restore(adjusted: Vector, order: np.ndarray) -> Vector:
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1.0)
    return result
