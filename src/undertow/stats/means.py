"""Means: of few runs with Student's interval, within arms, and how far two sets of vectors lie apart."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from undertow.stats.arguments import Vector, finite_vector, fraction
from undertow.stats.interval import Interval, t_quantile

_AT_ONCE = 250


def mean_t(values: ArrayLike, level: float = 0.95) -> Interval:
    """
    Mean with Student's t interval (normal runs); infinite for a single run.

    Raises:
        ValueError: No values, not finite, or a level outside (0, 1).
    """
    vector = finite_vector(values, "values")
    fraction(level, "level")
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


Vectors = NDArray[np.float32]


def rearranged_differences(
    first: Vectors,
    second: Vectors,
    *,
    matched: bool,
    count: int,
    rng: np.random.Generator,
) -> Vectors:
    """
    Difference of means as observed, then under `count` random rearrangements; shape (count + 1, dimensions).

    Matched vectors, row i of both, swap sides at random; others are dealt anew into two sets of the same sizes. Where
    both come from one distribution, each of the rows is as likely to be the observed one.

    Args:
        first: Shape (n, dimensions).
        second: Shape (m, dimensions); m = n where matched.
        matched: Whether row i of both belongs together.
        count: Number of random rearrangements.
        rng: Source of them.
    """
    n, m = len(first), len(second)
    pooled = first - second if matched else np.concatenate([first, second])
    centred = pooled if matched else pooled - pooled.mean(0)
    observed = first.mean(0, dtype=np.float64) - second.mean(0, dtype=np.float64)
    result = np.empty((count + 1, first.shape[1]), dtype=np.float32)
    result[0] = observed
    for start in range(0, count, _AT_ONCE):
        size = min(_AT_ONCE, count - start)
        weights = _flips(size, n, rng) if matched else _deals(size, n, m, rng)
        result[1 + start : 1 + start + size] = weights @ centred
    return result


def shrunken_lengths(
    differences: Vectors, first: Vectors, second: Vectors, *, matched: bool
) -> Vector:
    """
    Each difference's length in pooled standard deviations, shape (differences,): the root of z' R^-1 z.

    z is the difference over the standard deviation of each coordinate, and R the coordinates' correlation (of the
    vectors, or of the pairs' differences where matched), shrunk towards the identity by the weight of Ledoit & Wolf,
    Journal of Multivariate Analysis 88, 2004. Single coordinates of activations can be a hundred times as wide as the
    others; without the division first, shrinking would drown the others in them. No rearrangement changes the
    deviations or R, so the rank of the first length among all of them is an exact test.
    """
    pooled = (first - second) / np.sqrt(2.0) if matched else np.concatenate([first, second])
    centred = np.asarray(pooled if matched else pooled - pooled.mean(0), dtype=np.float64)
    deviations = np.sqrt((centred**2).mean(0))
    # Coordinates without any spread (a dead unit) hold no difference either.
    inverse = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations > 0)
    values, axes = _shrunken_spectrum(centred * inverse)
    turned = (differences * inverse) @ axes
    length: Vector = np.sqrt((turned**2 / values).sum(1))
    return length


def _shrunken_spectrum(centred: Vector) -> tuple[Vector, Vector]:
    n, width = centred.shape
    covariance = centred.T @ centred / n
    scale = float(np.trace(covariance)) / width
    squares = float((covariance**2).sum())
    spread = squares - width * scale**2
    # Mean squared distance of each vector's own outer product from the covariance, over n.
    noise = (float(((centred**2).sum(1) ** 2).mean()) - squares) / n
    weight = min(1.0, noise / spread) if spread > 0 else 1.0
    values, axes = np.linalg.eigh(covariance)
    shrunk = (1 - weight) * np.maximum(values, 0) + weight * scale
    return np.where(shrunk > 0, shrunk, 1.0), axes


def _flips(size: int, n: int, rng: np.random.Generator) -> Vectors:
    signs = rng.integers(0, 2, (size, n), dtype=np.int8)
    return np.asarray(2 * signs - 1, dtype=np.float32) / np.float32(n)


def _deals(size: int, n: int, m: int, rng: np.random.Generator) -> Vectors:
    weights = np.full((size, n + m), -1 / m, dtype=np.float32)
    weights[:, :n] = 1 / n
    dealt: Vectors = rng.permuted(weights, axis=1)
    return dealt
