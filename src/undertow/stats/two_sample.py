"""
Two samples of rows compared: exact rearrangement tests of what the rows hold or of their vectors, and how far they differ.

The row is the unit: whatever a row holds stays together, so tokens of one row need not be independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from undertow.stats.arguments import Vector
from undertow.stats.interval import Interval, mean_t, normal_quantile, t_quantile

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
else:
    csr_matrix = Any

Labels = NDArray[np.bool_]
"""(1 + rearrangements, rows): which rows belong to the first sample; the first line is the observed one."""

Integers = NDArray[np.int64]

Vectors = NDArray[np.float32]
"""(rows, dimensions)"""

_CORRELATION = 2 / np.pi
"""
Of the two halves' measurements where the samples are equal: a category that has the same sign in both halves is gained
twice, one that has not is lost twice, so they correlate as E|x| E|y| does for standard normal x and y. It is less where
the samples differ, and the interval wider than it need be.
"""

_AT_ONCE = 250
_SLACK = 1 + 1e-9
"""Statistics this close count as tied."""


@dataclass(frozen=True)
class Samples:
    """Two samples, the rows of the first before those of the second."""

    first: int
    second: int
    matched: bool
    """Whether row i of both belongs together (one prompt, say); the two are equally many then."""

    @property
    def total(self) -> int:
        """Rows of both."""
        return self.first + self.second

    def rearranged(self, count: int, rng: np.random.Generator) -> Labels:
        """
        The observed samples and `count` random rearrangements of them.

        Matched rows swap sides, others are dealt anew: where both samples come from one distribution, every line is as
        likely to be the observed one.
        """
        labels = np.zeros((count + 1, self.total), dtype=np.bool_)
        labels[:, : self.first] = True
        if self.matched:
            swapped = rng.integers(0, 2, (count, self.first), dtype=np.int8).astype(np.bool_)
            labels[1:, : self.first], labels[1:, self.first :] = ~swapped, swapped
        else:
            labels[1:] = rng.permuted(labels[1:], axis=1)
        return labels

    def halves(self, rng: np.random.Generator) -> Labels:
        """(rows,): a random half of each sample; of matched rows both or neither."""
        half = np.zeros(self.total, dtype=np.bool_)
        drawn = rng.permutation(self.first)[: self.first // 2]
        half[drawn] = True
        half[
            self.first
            + (drawn if self.matched else rng.permutation(self.second)[: self.second // 2])
        ] = True
        return half


def counted(
    rows: Integers, categories: Integers, samples: Samples, *, least: int = 10
) -> tuple[csr_matrix, Integers]:
    """
    How often each row holds each category: a sparse matrix (rows, kept categories + 1), and the kept categories.

    The last column pools the categories that fewer than `least` rows hold, so that no cell is too sparse to compare.

    Args:
        rows: Index of the row that each occurrence is in.
        categories: The category of each occurrence.
        samples: Whose rows they are.
        least: Rows, of both samples together.
    """
    from scipy.sparse import csr_matrix as sparse

    known, column = np.unique(categories, return_inverse=True)
    shape = (samples.total, len(known) + 1)
    matrix = sparse((np.ones(len(rows)), (rows, column)), shape=shape)
    held = np.bincount(matrix.indices, minlength=len(known) + 1)[:-1]
    keep = held >= least
    moved = np.append(np.where(keep, np.cumsum(keep) - 1, keep.sum()), keep.sum())
    pooled = sparse(
        (np.ones(len(rows)), (rows, moved[column])), shape=(samples.total, int(keep.sum()) + 1)
    )
    return pooled, known[keep]


@dataclass(frozen=True)
class Homogeneity:
    """Whether two samples hold categories in the same shares."""

    p: float
    z: Vector
    """(categories,): difference of each share in standard errors, first minus second."""


def homogeneity(counts: csr_matrix, samples: Samples, labels: Labels) -> Homogeneity:
    """
    Rearrangement test of equal shares: the sum over categories of the squared z of the difference of shares.

    That is the chi-squared statistic with the variance over rows in place of the multinomial one, after Rao & Scott,
    Annals of Statistics 12, 1984; its rank among the rearrangements makes the test exact.

    Args:
        counts: (rows, categories); a row may hold many, of one category or several.
        samples: Whose rows they are.
        labels: See `Samples.rearranged`.
    """
    sizes = np.asarray(counts.sum(1)).ravel()
    error = np.sqrt(_variance_of_shares(counts, sizes, samples))
    error[error == 0] = np.inf
    whole, size = np.asarray(counts.sum(0)), float(sizes.sum())
    statistics: list[Vector] = []
    observed = np.zeros(counts.shape[1])
    for number, block in enumerate(_blocks(labels)):
        first, held = _sums(counts, block), block @ sizes
        difference = first / _or_one(held) - (whole - first) / _or_one(size - held)
        z = difference / error
        observed = z[0] if number == 0 else observed
        statistics.append((z**2).sum(1))
    return Homogeneity(p_of(np.concatenate(statistics)), observed)


def kolmogorov_smirnov(values: Vector, samples: Samples, labels: Labels) -> tuple[float, float]:
    """
    Largest difference between two samples' cumulative shares, and its p among the rearrangements, so ties are no harm.

    Args:
        values: (rows,), whole numbers or others.
        samples: Whose rows they are.
        labels: See `Samples.rearranged`.
    """
    known, column = np.unique(values, return_inverse=True)
    counts, _ = counted(np.arange(len(values)), column, samples, least=0)
    whole = np.bincount(column, minlength=len(known) + 1).cumsum()
    distances = [
        np.abs(first / samples.first - (whole - first) / samples.second).max(1)
        for block in _blocks(labels)
        for first in [_sums(counts, block).cumsum(1)]
    ]
    statistics = np.concatenate(distances)
    return float(statistics[0]), p_of(statistics)


def p_of(statistics: Vector) -> float:
    """Share of the statistics that are at least as large as the first, the observed one, which counts too."""
    return float((statistics * _SLACK >= statistics[0]).mean())


def separation(counts: csr_matrix, samples: Samples, half: Labels, level: float) -> Interval:
    """
    A lower bound of the total variation distance between the shares of two samples, with its interval.

    The categories of which one half of the rows has more in the first sample are one event; how much more probable it
    is in the first sample is measured on the other half, and the other way round. No event differs by more than the
    distance, and rows that chose the event do not measure it, so equal samples give 0 on average; then all is cut
    to [0, 1]. The interval is normal, with the variance of a ratio over rows.
    """
    folds = []
    for chosen in (half, ~half):
        event = _difference_of_shares(counts, samples, ~chosen) > 0
        folds.append(_difference_on(counts, event, samples, chosen))
    estimate = float(np.mean([fold[0] for fold in folds]))
    errors = [fold[1] ** 0.5 for fold in folds]
    variance = errors[0] ** 2 + errors[1] ** 2 + 2 * _CORRELATION * errors[0] * errors[1]
    spread = normal_quantile((1 + level) / 2) * variance**0.5 / 2
    low, middle, high = np.clip([estimate - spread, estimate, estimate + spread], 0, 1)
    return Interval(float(middle), float(low), float(high), level, samples.total)


def mean_difference(values: Vector, samples: Samples, level: float) -> Interval:
    """
    Difference of two samples' means: Student's interval of the pairs' differences, Welch's where rows do not match.

    Source of the degrees of freedom: Welch, Biometrika 34, 1947.
    """
    first, second = values[: samples.first], values[samples.first :]
    if samples.matched:
        return mean_t(first - second, level)
    parts = [float(side.var(ddof=1)) / len(side) for side in (first, second)]
    estimate = float(first.mean() - second.mean())
    if sum(parts) == 0:
        return Interval(estimate, estimate, estimate, level, samples.total)
    degrees = sum(parts) ** 2 / (
        parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1)
    )
    half = t_quantile((1 + level) / 2, int(degrees)) * sum(parts) ** 0.5
    return Interval(estimate, estimate - half, estimate + half, level, samples.total)


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


def _blocks(labels: Labels) -> Iterator[Vector]:
    for start in range(0, len(labels), _AT_ONCE):
        yield labels[start : start + _AT_ONCE].astype(np.float64)


def _sums(counts: csr_matrix, block: Vector) -> Vector:
    sums: Vector = (counts.T @ block.T).T
    return sums


def _or_one(totals: Vector) -> Vector:
    return np.where(totals == 0, 1.0, totals)[..., None]


def _variance_of_shares(counts: csr_matrix, sizes: Vector, samples: Samples) -> Vector:
    """
    Of the difference of each category's shares under rearrangement, to first order; (categories,).

    A row's residual is what it holds minus its size times the pooled share. Expanded, so that no dense matrix is made.
    """
    shares = np.asarray(counts.sum(0)).ravel() / max(sizes.sum(), 1.0)
    mean_size = max(float(sizes.mean()), 1e-30)
    scale = (1 / samples.first + 1 / samples.second) / (samples.total - 1)
    if samples.matched:
        counts = counts[: samples.first] - counts[samples.first :]
        sizes = sizes[: samples.first] - sizes[samples.first :]
        scale = 1 / samples.first**2
    squares = np.asarray(counts.multiply(counts).sum(0)).ravel()
    residuals = squares - 2 * shares * (counts.T @ sizes) + shares**2 * (sizes @ sizes)
    # What all rows hold in one share has no spread; rounding must not become one.
    return np.where(residuals > 1e-9 * squares, residuals, 0.0) * scale / mean_size**2


if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
else:
    csr_matrix = Any


def _shares(counts: csr_matrix, chosen: Labels) -> Vector:
    held = np.asarray(counts[np.flatnonzero(chosen)].sum(0)).ravel()
    return held / max(float(held.sum()), 1.0)


def _difference_of_shares(counts: csr_matrix, samples: Samples, chosen: Labels) -> Vector:
    first = np.arange(samples.total) < samples.first
    return _shares(counts, chosen & first) - _shares(counts, chosen & ~first)


def _difference_on(
    counts: csr_matrix, event: Labels, samples: Samples, chosen: Labels
) -> tuple[float, float]:
    """How much more probable an event is in the first sample, on the chosen rows, and the variance of that."""
    inside, sizes = counts @ event.astype(np.float64), np.asarray(counts.sum(1)).ravel()
    shares, residuals = [], []
    for side in (slice(0, samples.first), slice(samples.first, None)):
        held, size = inside[side][chosen[side]], sizes[side][chosen[side]]
        shares.append(float(held.sum()) / max(float(size.sum()), 1.0))
        residuals.append((held - shares[-1] * size) / max(float(size.mean()), 1e-30))
    first, second = residuals
    if samples.matched:
        return shares[0] - shares[1], float((first - second).var(ddof=1)) / len(first)
    variance = sum(float(side.var(ddof=1)) / len(side) for side in residuals)
    return shares[0] - shares[1], variance


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
