"""
A dataset among references: one exact rank p over all traits.

The dataset and its references stand in rows, the dataset first. If it is exchangeable with them, p <= alpha happens with
probability alpha at most, whatever the law of the readings and however traits depend on each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from undertow.stats.arguments import Vector, count, finite_vector, fraction

MAD_OF_NORMAL = 1.482602218505602
"""1 / normal quantile of 3/4: scales a median absolute deviation to a standard deviation."""

DEVIATION_OF_NORMAL = math.sqrt(math.pi / 2)
"""Scales a mean absolute deviation to a standard deviation."""

_TIE = 1e-9
_DENOMINATOR = 10**12


@dataclass(frozen=True)
class JointStatistics:
    """How far each set lies out, by one statistic over all traits; the dataset is set 0."""

    largest: Vector
    """(..., sets) the largest z of each set."""

    z: Vector
    """(..., sets, traits) robust z-scores."""


def joint_statistics(moved: ArrayLike, *, two_sided: bool = False) -> JointStatistics:
    """
    The largest robust z over the traits of each set, all sets treated alike, so that their ranks stay exchangeable.

    m_t is the median over all sets, MAD_t the scaled median of |x_t - m_t|, s_t = sqrt(MAD_t^2 / 2 + mean(MAD^2) / 2),
    z_t = (x_t - m_t) / s_t. The half that all traits share keeps a trait in which references happen to lie close from
    ruling the maximum. Where every MAD is 0 (more than half of the sets are equal in every trait) the mean absolute
    deviation takes its place; where that is 0 too, all sets are equal, and every z is 0. A single trait has s = MAD.

    Args:
        moved: (..., sets, traits) change of each set's margins, in logits; the dataset is set 0.
        two_sided: The largest |z| instead: for traits that may be moved either way.

    Raises:
        ValueError: not (..., sets, traits), empty, or not finite.

    >>> joint_statistics([[9.0], [1.0], [2.0], [3.0], [4.0]]).largest.round(3).tolist()
    [4.047, -1.349, -0.674, 0.0, 0.674]
    """
    readings = _readings(moved, "moved", "(..., sets, traits)")
    deviations = readings - np.median(readings, axis=-2, keepdims=True)
    scale = MAD_OF_NORMAL * np.median(np.abs(deviations), axis=-2, keepdims=True)
    mean = DEVIATION_OF_NORMAL * np.abs(deviations).mean(axis=-2, keepdims=True)
    scale = np.where(scale.any(axis=-1, keepdims=True), scale, mean)
    # Sorted, so that the order of traits does not decide a tie by rounding.
    common = np.sort(scale**2, axis=-1).mean(axis=-1, keepdims=True)
    spread = np.sqrt(scale**2 / 2 + common / 2)
    z = np.divide(deviations, spread, out=np.zeros_like(deviations), where=spread > 0)
    return JointStatistics((np.abs(z) if two_sided else z).max(axis=-1), z)


def rank_p(statistics: ArrayLike) -> float:
    """
    (1 + #{T_j >= T_0}) / (J + 1): exact where all J + 1 are exchangeable; ties count against the dataset, T_0.

    Source: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005, section 2.2. Without references 1.

    Raises:
        ValueError: no statistic, or one that is not finite.

    >>> rank_p([3.0, 1.0, 2.0, 3.0])
    0.5
    """
    values = finite_vector(statistics, "statistics")
    return (1 + _reaching(values)) / values.size


def references_needed(subjects: int, alpha: float) -> int:
    """
    Fewest references by which each of `subjects` can reach a Holm-adjusted p <= alpha: ceil(subjects / alpha) - 1.

    Raises:
        ValueError: not a whole number of subjects of at least 1, or alpha outside (0, 1).

    >>> [references_needed(subjects, 0.05) for subjects in (1, 3, 65)]
    [19, 59, 1299]
    """
    return math.ceil(count(subjects, "subjects") / _exact(alpha)) - 1


def _readings(values: ArrayLike, name: str, axes: str) -> Vector:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim < 2 or not array.size:
        raise ValueError(f"{name} must be {axes} and not empty, got shape {array.shape}")
    finite_vector(array.ravel(), name)
    return array


def _reaching(statistics: Vector) -> int:
    bar = statistics[0] - _TIE * abs(statistics[0])
    return int(np.count_nonzero(statistics[1:] >= bar))


def _exact(alpha: float) -> Fraction:
    # .05 is meant as 1 / 20, and .1 / 3 as 1 / 30; as binary fractions both are a little off.
    binary = Fraction(fraction(alpha, "alpha"))
    return binary.limit_denominator(_DENOMINATOR) or binary
