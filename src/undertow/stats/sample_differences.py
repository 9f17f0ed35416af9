"""How far two samples of rows differ, with intervals: in means, and in the shares of categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from undertow.stats.arguments import Vector
from undertow.stats.interval import Interval
from undertow.stats.means import mean_t
from undertow.stats.quantiles import normal_quantile, t_quantile
from undertow.stats.two_sample import Labels, Samples

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
else:
    csr_matrix = Any

_CORRELATION = 2 / np.pi
"""
Of the two halves' measurements where the samples are equal: a category that has the same sign in both halves is gained
twice, one that has not is lost twice, so they correlate as E|x| E|y| does for standard normal x and y. It is less where
the samples differ, and the interval wider than it need be.
"""


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
    one, other = values[: samples.first], values[samples.first :]
    if samples.matched:
        return mean_t(one - other, level)
    parts = [float(side.var(ddof=1)) / len(side) for side in (one, other)]
    estimate = float(one.mean() - other.mean())
    if sum(parts) == 0:
        return Interval(estimate, estimate, estimate, level, samples.total)
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / (len(one) - 1) + parts[1] ** 2 / (len(other) - 1))
    half = t_quantile((1 + level) / 2, int(degrees)) * sum(parts) ** 0.5
    return Interval(estimate, estimate - half, estimate + half, level, samples.total)


def _shares(counts: csr_matrix, chosen: Labels) -> Vector:
    held = np.asarray(counts[np.flatnonzero(chosen)].sum(0)).ravel()
    return held / max(float(held.sum()), 1.0)


def _difference_of_shares(counts: csr_matrix, samples: Samples, chosen: Labels) -> Vector:
    first = np.arange(samples.total) < samples.first
    return _shares(counts, chosen & first) - _shares(counts, chosen & ~first)


def _difference_on(
    counts: csr_matrix, event: Labels, samples: Samples, chosen: Labels
) -> tuple[float, float]:
    """
    How much more probable an event is in the first sample, on the chosen rows, and the variance of that.
    """
    inside, sizes = counts @ event.astype(np.float64), np.asarray(counts.sum(1)).ravel()
    shares, residuals = [], []
    for side in (slice(0, samples.first), slice(samples.first, None)):
        held, size = inside[side][chosen[side]], sizes[side][chosen[side]]
        shares.append(float(held.sum()) / max(float(size.sum()), 1.0))
        residuals.append((held - shares[-1] * size) / max(float(size.mean()), 1e-30))
    one, other = residuals
    if samples.matched:
        return shares[0] - shares[1], float((one - other).var(ddof=1)) / len(one)
    variance = sum(float(each.var(ddof=1)) / len(each) for each in (one, other))
    return shares[0] - shares[1], variance
