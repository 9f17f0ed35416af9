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
    Each difference's length in pooled standard deviations: the root of d' S^-1 d, shape (differences,).

    S is the covariance of the vectors (of the pairs' differences, halved, where matched) shrunk towards the multiple of
    the identity with the same trace, by the weight of Ledoit & Wolf, Journal of Multivariate Analysis 88, 2004. No
    rearrangement changes it, so the rank of the first length among all of them is an exact test.
    """
    pooled = (one - other) / np.sqrt(2.0) if matched else np.concatenate([one, other])
    centred = pooled if matched else pooled - pooled.mean(0)
    values, axes = _shrunken_spectrum(np.asarray(centred, dtype=np.float64))
    turned = np.asarray(differences, dtype=np.float64) @ axes
    length: Vector = np.sqrt((turned**2 / values).sum(1))
    return length


def _shrunken_spectrum(centred: Vector) -> tuple[Vector, Vector]:
    n, width = centred.shape
    covariance = centred.T @ centred / n
    scale = float(np.trace(covariance)) / width
    spread = float((covariance**2).sum()) - width * scale**2
    # Mean squared distance of each vector's own outer product from the covariance, over n.
    noise = (float(((centred**2).sum(1) ** 2).mean()) - float((covariance**2).sum())) / n
    weight = min(1.0, noise / spread) if spread > 0 else 1.0
    values, axes = np.linalg.eigh(covariance)
    shrunk = (1 - weight) * np.maximum(values, 0) + weight * scale
    # Directions without any spread at all (a dead unit) hold no difference either.
    return np.maximum(shrunk, 1e-12 * max(scale, 1e-30)), axes


def _flips(size: int, n: int, rng: np.random.Generator) -> Vectors:
    signs = rng.integers(0, 2, (size, n), dtype=np.int8)
    return np.asarray(2 * signs - 1, dtype=np.float32) / np.float32(n)


def _deals(size: int, n: int, m: int, rng: np.random.Generator) -> Vectors:
    weights = np.full((size, n + m), -1 / m, dtype=np.float32)
    weights[:, :n] = 1 / n
    dealt: Vectors = rng.permuted(weights, axis=1)
    return dealt
