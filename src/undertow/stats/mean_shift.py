"""
The shift between two sets of vectors: rearranged differences of their means, and a length that knows their spread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from undertow.stats.arguments import Vector

Vectors = NDArray[np.float32]

_AT_ONCE = 250


def rearranged_differences(
    one: Vectors,
    other: Vectors,
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
        one: Shape (n, dimensions).
        other: Shape (m, dimensions); m = n where matched.
        matched: Whether row i of both belongs together.
        count: Number of random rearrangements.
        rng: Source of them.
    """
    n, m = len(one), len(other)
    pooled = one - other if matched else np.concatenate([one, other])
    centred = pooled if matched else pooled - pooled.mean(0)
    observed = one.mean(0, dtype=np.float64) - other.mean(0, dtype=np.float64)
    result = np.empty((count + 1, one.shape[1]), dtype=np.float32)
    result[0] = observed
    for start in range(0, count, _AT_ONCE):
        size = min(_AT_ONCE, count - start)
        weights = _flips(size, n, rng) if matched else _deals(size, n, m, rng)
        result[1 + start : 1 + start + size] = weights @ centred
    return result


def shrunken_lengths(
    differences: Vectors, one: Vectors, other: Vectors, *, matched: bool
) -> Vector:
    """
    Each difference's length in pooled standard deviations, shape (differences,): the root of z' R^-1 z.

    z is the difference over the standard deviation of each coordinate, and R the coordinates' correlation (of the
    vectors, or of the pairs' differences where matched), shrunk towards the identity by the weight of Ledoit & Wolf,
    Journal of Multivariate Analysis 88, 2004. Single coordinates of activations can be a hundred times as wide as the
    others; without the division first, shrinking would drown the others in them. No rearrangement changes the
    deviations or R, so the rank of the first length among all of them is an exact test.
    """
    pooled = (one - other) / np.sqrt(2.0) if matched else np.concatenate([one, other])
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
