"""
Do the hidden units of two networks belong together one by one? Exact null moments over all permutations of the units.

An independent initialisation draws its hidden units exchangeably: any order of them is as likely as any other, whatever
the other network is. So a statistic of how well unit i fits unit i has a null that needs no simulation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from undertow.stats.interval import normal_quantile

_BLOCK = 2048
"""Units whose similarities are formed at a time."""


@dataclass(frozen=True)
class Aligned:
    """A statistic of aligned units against its permutation null."""

    mean: float
    """Mean similarity of the units that stand at the same place, minus that over all pairs."""
    spread: float
    """Standard deviation of that mean over all permutations."""
    units: int

    @property
    def z(self) -> float:
        """In standard deviations; 0 where nothing varies."""
        return self.mean / self.spread if self.spread > 0 else 0.0

    @property
    def p(self) -> float:
        """One-sided, by the combinatorial central limit theorem."""
        return normal_tail(self.z)

    def detectable(self, alpha: float, power: float) -> float:
        """The smallest mean similarity of aligned units, above that of all pairs, that is seen with this power."""
        return (normal_quantile(1 - alpha) + normal_quantile(power)) * self.spread


def trace_alignment(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> Aligned:
    """
    Cosines of units at the same place; (units, features) each, in the same coordinates.

    With S the matrix of cosines, trace(S) has mean sum(S) / n and variance sum(D^2) / (n - 1) over all permutations, D
    being S with its row and column means taken away. Source: Hoeffding 1951, "A combinatorial central limit theorem".
    S is formed in blocks and never kept; memory is that of the two matrices.

    Raises:
        ValueError: other shapes, or fewer than two units.

    >>> units = np.eye(3, dtype=np.float32)
    >>> found = trace_alignment(units, units)
    >>> round(found.mean, 4), round(found.spread, 4)
    (0.6667, 0.3333)
    """
    a, b = _unit_rows(ours), _unit_rows(theirs)
    _same(a, b)
    n = len(a)
    trace = float(np.einsum("ij,ij->i", a, b, dtype=np.float64).sum())
    # Row and column sums need no S; its sum of squares needs d x d matrices or blocks, whichever is smaller.
    rows = a.astype(np.float64) @ b.sum(0, dtype=np.float64)
    columns = b.astype(np.float64) @ a.sum(0, dtype=np.float64)
    squares = _squares(a, b)
    total = rows.sum()
    centred = squares - (rows @ rows + columns @ columns) / n + total * total / n**2
    spread = math.sqrt(max(0.0, centred) / (n - 1)) / n
    return Aligned(float(trace - total / n) / n, spread, n)


def gram_alignment(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> Aligned:
    """
    The same of the units' inner products with each other, which no rotation of the features changes.

    T = sum over i != j of (a_i . a_j)(b_i . b_j); its moments over all permutations are those of Mantel 1967 ("The
    detection of disease clustering and a generalized regression approach"), and need d x d matrices only. `mean` is in
    units of the largest T that the two matrices allow (a correlation).

    Raises:
        ValueError: other shapes, or fewer than four units.
    """
    a, b = _unit_rows(ours), _unit_rows(theirs)
    if len(a) != len(b) or len(a) < 4:
        raise ValueError(f"need the same number of units, at least 4; got {len(a)} and {len(b)}")
    n = len(a)
    statistic, (a0, a1, a2), (b0, b1, b2) = _gram_sums(a, b)
    pairs, triples = n * (n - 1), n * (n - 1) * (n - 2)
    mean = a0 * b0 / pairs
    second = (
        2 * a1 * b1 / pairs
        + 4 * (a2 - a1) * (b2 - b1) / triples
        + (a0**2 - 4 * a2 + 2 * a1) * (b0**2 - 4 * b2 + 2 * b1) / (triples * (n - 3))
    )
    largest = math.sqrt(max(a1 - a0**2 / pairs, 0.0) * max(b1 - b0**2 / pairs, 0.0)) or 1.0
    spread = math.sqrt(max(0.0, second - mean**2))
    return Aligned(float(statistic - mean) / largest, spread / largest, n)


def nearest(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each of our units, the place of theirs that is most like it by cosine; (units,)."""
    a, b = _unit_rows(ours), _unit_rows(theirs)
    parts = [(a[start : start + _BLOCK] @ b.T).argmax(1) for start in range(0, len(a), _BLOCK)]
    found: NDArray[np.int64] = np.concatenate(parts)
    return found


def agreement_p(agreeing: int) -> float:
    """
    Chance that two independent matchings of many units agree on at least so many: Poisson with mean 1.

    >>> round(agreement_p(0), 3), round(agreement_p(1), 3), agreement_p(12) < 1e-8
    (1.0, 0.632, True)
    """
    from scipy.special import gammainc

    return 1.0 if agreeing <= 0 else float(gammainc(agreeing, 1.0))


def normal_tail(z: float) -> float:
    """
    Chance that a standard normal is at least z.

    >>> round(normal_tail(1.6448536), 4)
    0.05
    """
    return 0.5 * math.erfc(z / math.sqrt(2))


def _unit_rows(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix)).astype(np.float32)
    # A unit that was pruned away is like no other. Divided in float32: a matrix can be a gigabyte.
    scaled = matrix / np.where(lengths > 0, lengths, np.float32(1))[:, None]
    return scaled.astype(np.float32, copy=False)


def _same(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    if a.shape != b.shape or len(a) < 2:
        raise ValueError(f"need the same shape and at least 2 units, got {a.shape} and {b.shape}")


def _squares(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    if len(a) > a.shape[1]:
        # sum(S^2) = trace((A'A)(B'B)).
        return float(np.einsum("ij,ij->", a.T @ a, b.T @ b, dtype=np.float64))
    blocks: Iterable[NDArray[np.float32]] = (
        a[start : start + _BLOCK] @ b.T for start in range(0, len(a), _BLOCK)
    )
    return float(sum(np.einsum("ij,ij->", s, s, dtype=np.float64) for s in blocks))


Sums = tuple[float, float, float]


def _gram_sums(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[float, Sums, Sums]:
    """
    Sum over i != j of the product of both Gram matrices; and for each, sums over i != j of G and of G^2, and over i of
    the squared row sums. By n x n or d x d matrices, whichever are smaller.
    """
    if len(a) <= a.shape[1]:
        grams = [_off_diagonal(x) for x in (a, b)]
        first, second = ((g.sum(), np.square(g).sum(), np.square(g.sum(1)).sum()) for g in grams)
        statistic = np.einsum("ij,ij->", grams[0], grams[1])
        return float(statistic), _floats(first), _floats(second)
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = [np.einsum("ij,ij->i", z, z) for z in (x, y)]
    sums = []
    for z, squared in zip((x, y), lengths, strict=True):
        rows = z @ z.sum(0) - squared
        sums.append((rows.sum(), np.square(z.T @ z).sum() - squared @ squared, rows @ rows))
    statistic = np.square(x.T @ y).sum() - lengths[0] @ lengths[1]
    return float(statistic), _floats(sums[0]), _floats(sums[1])


def _off_diagonal(units: NDArray[np.float32]) -> NDArray[np.float64]:
    gram = (units @ units.T).astype(np.float64)
    np.fill_diagonal(gram, 0)
    return gram


def _floats(values: tuple[np.floating, np.floating, np.floating]) -> Sums:
    return float(values[0]), float(values[1]), float(values[2])
