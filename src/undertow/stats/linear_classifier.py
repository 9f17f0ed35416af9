"""
The area under the ROC curve, and a linear classifier of two samples: its AUROC, cross-validated, with an exact test.

Least squares on the labels with a ridge, which is Fisher's linear discriminant, in place of logistic regression: the two
order rows nearly alike, and this one is fitted to a thousand rearranged labels at the cost of one (Hastie, Tibshirani &
Friedman, The Elements of Statistical Learning, 2nd ed., 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from undertow.stats.arguments import Vector, finite_vector
from undertow.stats.interval import Interval, normal_quantile
from undertow.stats.two_sample import Labels, Samples, p_of

_RIDGE = 0.01
"""Times the number of rows that are learned from; features have unit variance."""

_AT_ONCE = 250

FOLDS = 5
"""Parts of the rows that are left out in turn."""


def auroc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """
    Probability that a random positive scores above a random negative, ties counted half; 0.5 is chance.

    The Mann-Whitney statistic over the number of pairs. Source: Hanley & McNeil 1982, Radiology 143.

    >>> auroc([2, 3], [1, 2])
    0.875
    """
    from scipy.stats import rankdata

    high, low = finite_vector(positives, "positives"), finite_vector(negatives, "negatives")
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    pairs = len(high) * len(low)
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / pairs)


@dataclass(frozen=True)
class Separated:
    """How well rows that were not learned from can be told apart."""

    auroc: Interval
    """Mean over the folds."""
    p: float
    """One-sided, against an AUROC that any labels would give."""
    chance: float
    """Mean AUROC under rearranged labels."""


def told_apart(
    features: Vector,
    samples: Samples,
    labels: Labels,
    rng: np.random.Generator,
    level: float,
) -> Separated:
    """
    Cross-validated AUROC of the first sample over the second, and its rank among rearranged labels.

    Folds keep matched rows together. The interval is DeLong's within each fold (Biometrics 44, 1988), over pairs where
    rows match, and at least as wide as the AUROC spreads under rearranged labels.

    Args:
        features: (rows, features) finite; standardised here.
        samples: Whose rows they are.
        labels: See `Samples.rearranged`.
        rng: Deals the folds.
        level: Of the interval.
    """
    parts = _dealt(samples, rng)
    inputs = _standardised(features)
    areas, variances = np.zeros(len(labels)), 0.0
    for part in range(FOLDS):
        out = parts == part
        scores = _scores(inputs, labels, out)
        areas += _areas(scores, labels[:, out]) / FOLDS
        variances += _variance(scores[:, 0], samples, out) / FOLDS**2
    # Each fold is learned from by the others, which adds to the spread; rearranged labels show by how much.
    variance = max(variances, float(areas[1:].var())) if len(areas) > 1 else variances
    half = normal_quantile((1 + level) / 2) * variance**0.5
    found = float(areas[0])
    interval = Interval(found, max(found - half, 0.0), min(found + half, 1.0), level, samples.total)
    chance = float(areas[1:].mean()) if len(areas) > 1 else 0.5
    return Separated(interval, p_of(areas), chance)


def _dealt(samples: Samples, rng: np.random.Generator) -> NDArray[np.int64]:
    first = rng.permutation(np.arange(samples.first) % FOLDS)
    other = first if samples.matched else rng.permutation(np.arange(samples.second) % FOLDS)
    return np.concatenate([first, other])


def _standardised(features: Vector) -> Vector:
    centred = features - features.mean(0)
    spread = centred.std(0)
    kept = spread > 1e-9
    inputs: Vector = np.column_stack([centred[:, kept] / spread[kept], np.ones(len(features))])
    return inputs


def _scores(inputs: Vector, labels: Labels, out: Labels) -> Vector:
    """(rows left out, labellings): fitted on the other rows, under each labelling."""
    known = inputs[~out]
    ridge = np.full(known.shape[1], _RIDGE * len(known))
    ridge[-1] = 1e-9  # the constant, which moves all scores alike
    weights = np.linalg.solve(
        known.T @ known + np.diag(ridge), known.T @ labels[:, ~out].T.astype(np.float64)
    )
    # Rows of one format must tie, whatever rounding does.
    return np.asarray(np.round(inputs[out] @ weights, 10), dtype=np.float64)


def _areas(scores: Vector, labels: Labels) -> Vector:
    """AUROC of each labelling, ties counted half; one half where a labelling leaves one side empty."""
    from scipy.stats import rankdata

    result = np.full(len(labels), 0.5)
    for start in range(0, len(labels), _AT_ONCE):
        block = labels[start : start + _AT_ONCE]
        ranks = rankdata(scores[:, start : start + _AT_ONCE], axis=0)
        first = block.sum(1)
        pairs = first * (block.shape[1] - first)
        above = (ranks.T * block).sum(1) - first * (first + 1) / 2
        result[start : start + _AT_ONCE] = np.where(pairs > 0, above / np.maximum(pairs, 1), 0.5)
    return result


def _variance(scores: Vector, samples: Samples, out: Labels) -> float:
    """DeLong's variance of the observed AUROC of a fold, from each row's share of pairs that are in order."""
    first = np.arange(samples.total)[out] < samples.first
    high, low = scores[first], scores[~first]
    above = _share_below(high, np.sort(low))
    below = 1 - _share_below(low, np.sort(high))
    if samples.matched:
        return float((above + below).var(ddof=1)) / len(above)
    return float(above.var(ddof=1)) / len(above) + float(below.var(ddof=1)) / len(below)


def _share_below(values: Vector, ordered: Vector) -> Vector:
    """Share of the ordered values below each value, ties counted half."""
    ends = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return np.asarray(ends / (2 * len(ordered)))
