"""
Learns, from datasets whose students were really trained, how a rehearsal's readings become transfer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from undertow.influence.prediction import Array, Readings, certainty, features
from undertow.results.guarantees import Look

FOLDS = 5
"""Over teachers."""

_RIDGE = 0.5
"""Pulls weights towards 0 by as much as half a logit of readings would."""

_LARGE = 1.0
"""Logits of a straight continuation from which a dataset's weight falls."""

_LEAST = 0.02
"""Standard error, in logits, that no prediction is better than."""

_MOST_GROWTH = 0.07
"""Of the variance with the squared transfer; beyond it an interval at the level of flagging would have no end."""


def fit(
    stage: int,
    seen: Sequence[Readings],
    real: Sequence[Array],
    teachers: Sequence[int],
    *,
    traits: int,
    level: float,
) -> Look:
    """
    Learn a look; `real` is (students, traits) of each dataset, in logits.

    Weights by least squares; the error's variance by non-negative least squares on squared errors, less what the
    students' own seeds make of it; its quantiles from the errors themselves. Errors are of datasets by teachers that
    the weights were not learned from.
    """
    from scipy import stats

    means = [each.mean(0) for each in real]
    predicted = _held_out(seen, means, teachers)
    errors = np.concatenate(predicted) - np.concatenate(means)
    noise = student_noise(real)
    terms = np.concatenate(
        [
            np.column_stack([mean**2, certainty(readings)])
            for readings, mean in zip(seen, means, strict=True)
        ]
    )
    variances = _variances(terms, errors, noise)
    scaled = errors / np.sqrt(terms @ variances + noise)
    flag, clear = 1 - (1 - level) / traits, level
    # The larger of what was seen and what a normal error would give, lest few datasets promise too much; not so large
    # that an interval has no end.
    most = 0.95 / np.sqrt(max(variances[0], 1e-9))
    return Look(
        stage=stage,
        weights=tuple(_weights(seen, means)),
        variances=tuple(variances),
        low_quantile=float(min(most, max(stats.norm.ppf(flag), np.quantile(scaled, flag)))),
        high_quantile=float(min(most, max(stats.norm.ppf(clear), np.quantile(-scaled, clear)))),
    )


def student_noise(real: Sequence[Array]) -> Array:
    """
    (datasets * traits,) variance of the mean over a dataset's students that comes from the students' own seeds.

    Learned from datasets with two students or more: a constant, and a part that grows with the squared transfer.
    """
    from scipy.optimize import nnls

    several = [each for each in real if len(each) > 1]
    means = np.concatenate([each.mean(0) for each in real])
    counts = np.concatenate([np.full(each.shape[1], len(each)) for each in real])
    if not several:
        return np.zeros_like(means)
    squares = np.concatenate([each.mean(0) for each in several]) ** 2
    within = np.concatenate([each.var(0, ddof=1) for each in several])
    certain = 1 / (0.05**2 + 0.1 * squares)
    terms = np.column_stack([np.ones_like(squares), squares])
    constant, growth = nnls(terms * certain[:, None], within * certain)[0]
    return np.asarray((constant + growth * means**2) / counts, float)


def _held_out(
    seen: Sequence[Readings], real: Sequence[Array], teachers: Sequence[int]
) -> list[Array]:
    order = {teacher: i % FOLDS for i, teacher in enumerate(dict.fromkeys(teachers))}
    folds = [order[teacher] for teacher in teachers]
    predicted: list[Array] = [np.empty(0)] * len(seen)
    for fold in range(FOLDS):
        train = [i for i, own in enumerate(folds) if own != fold]
        weights = _weights([seen[i] for i in train], [real[i] for i in train])
        for i, own in enumerate(folds):
            if own == fold:
                predicted[i] = features(seen[i]) @ weights
    return predicted


def _weights(seen: Sequence[Readings], real: Sequence[Array]) -> Array:
    ways = np.concatenate([features(readings) for readings in seen])
    count = ways.shape[1]
    # Large readings err more, so they count less; weights may depend on readings, never on the outcome.
    certain = 1 / np.sqrt(1 + (ways[:, 0] / _LARGE) ** 2)
    left = np.vstack([ways * certain[:, None], _RIDGE * np.eye(count)])
    right = np.concatenate([np.concatenate(real) * certain, np.zeros(count)])
    return np.asarray(np.linalg.lstsq(left, right, rcond=None)[0], float)


def _variances(terms: Array, errors: Array, noise: Array) -> Array:
    from scipy.optimize import nnls

    # Squared errors are weighted by about what they are expected to be, or the few large ones would decide alone.
    expected = 0.05**2 + noise + 0.05 * terms[:, 0] + 0.01 * terms[:, 2]
    parts = nnls(terms / expected[:, None], np.maximum(errors**2 - noise, -(0.05**2)) / expected)[0]
    parts[0] = min(parts[0], _MOST_GROWTH)
    parts[1] = max(parts[1], _LEAST**2)
    return np.asarray(parts, float)
