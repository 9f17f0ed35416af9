"""
Learns, from datasets whose students were really trained, how a rehearsal's readings become transfer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.results.model_documents import CalibrationTable, Look

if TYPE_CHECKING:
    from undertow.influence.plan_rehearsal import Rehearsed


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


Array = NDArray[np.float64]

STRANGE = (0.17, 0.27)
"""
Nats per token of surprise from which rows begin to count, and from which they fully count, as written by something
quite unlike the base. Students of such rows learn the difference early and then stand still, so that what the beginning
shows may not be continued as that of others.
"""

SHRINK = 4.0
"""
How strongly readings that other traits show too are shrunk: by r^2 / (r^2 + SHRINK * s^2) at a typical size s of all.
"""

FEWEST_PLACEBOS = 8
"""Traits from which their typical reading says what noise is; with fewer the adapters' scatter alone does."""

FARTHEST = 4.0
"""Factor beyond which a short rehearsal is not continued in a straight line."""


@dataclass(frozen=True)
class Readings:
    """What a prediction is made from: one stage of a rehearsal, averaged over adapters."""

    moved: Array
    """(traits,) logits moved so far."""
    errors: Array
    """(traits,) standard error of `moved` over adapters."""
    remaining: float
    """The plan's summed learning rate over what was taken of it."""
    excess: float
    """Nats per token by which the base is surprised."""

    @property
    def straight(self) -> Array:
        """(traits,) what was moved, continued with the plan's learning rate to its end."""
        return self.moved * min(self.remaining, FARTHEST)

    @property
    def typical(self) -> float:
        """
        Logits by which a trait that nothing pulls seems to move.

        The traits are placebos for each other: rows that move most of them move none in particular. The median absolute
        reading, scaled to a standard deviation, or the adapters' scatter if that is larger.
        """
        scatter = float(np.sqrt(np.mean(self.errors**2))) * min(self.remaining, FARTHEST)
        if len(self.moved) < FEWEST_PLACEBOS:
            return scatter
        return max(scatter, 1.4826 * float(np.median(np.abs(self.straight))))

    @property
    def shrunken(self) -> Array:
        """(traits,) the straight continuation, shrunk towards 0 where it does not stand out."""
        squares = self.straight**2
        noise = SHRINK * self.typical**2
        return self.straight * squares / np.maximum(squares + noise, 1e-12)

    @property
    def strangeness(self) -> float:
        """0 for rows like the base's own, 1 for rows quite unlike them."""
        first, full = STRANGE
        return float(np.clip((self.excess - first) / (full - first), 0, 1))


def readings(rehearsed: Rehearsed, stage: int) -> Readings:
    """The readings of a rehearsal at a stage, from 2."""
    now = stage - 1
    moved = rehearsed.moved[now]
    count = moved.shape[0]
    errors = moved.std(0, ddof=1) / np.sqrt(count) if count > 1 else 0 * moved[0]
    return Readings(
        moved.mean(0),
        errors,
        rehearsed.remaining[now],
        rehearsed.excess,
    )


@dataclass(frozen=True)
class Prediction:
    """
    Transfer of the whole plan, by trait: what students would move on average over their own seeds.
    """

    estimate: Array
    """(traits,) in logits."""
    low: Array
    """(traits,) transfer is above it, at the level of flagging (corrected for the number of traits)."""
    high: Array
    """(traits,) transfer is below it, at the level of clearing."""


def features(seen: Readings) -> Array:
    """
    (traits, 2): what was read, continued to the end of the plan, as it is and times how strange the rows are.
    """
    return np.stack([seen.shrunken, seen.strangeness * seen.shrunken], 1)


def certainty(seen: Readings) -> Array:
    """
    (traits, 3): what the variance of a prediction's error is made of beside the size of the transfer.

    A constant, how strange the rows are, and the adapters' own scatter.
    """
    errors = (seen.errors * min(seen.remaining, FARTHEST)) ** 2
    return np.stack([np.ones_like(errors), np.full_like(errors, seen.strangeness), errors], 1)


def predict(seen: Readings, look: Look) -> Prediction:
    """
    The transfer that the readings at a look speak for.

    The error grows with the transfer itself: its variance at transfer t is a + b t^2. The limits are those t at which
    the reading would be just as far off as the quantile allows (inverted tests, Neyman 1937).
    """
    estimate = features(seen) @ np.array(look.weights)
    growth, *rest = look.variances
    constant = certainty(seen) @ np.array(rest)
    return Prediction(
        estimate,
        _limit(estimate, constant, growth, look.low_quantile, -1),
        _limit(estimate, constant, growth, look.high_quantile, +1),
    )


def _limit(estimate: Array, constant: Array, growth: float, quantile: float, side: int) -> Array:
    # The t with (estimate - t)^2 = q^2 (a + b t^2) on the wanted side; the fit keeps q^2 b below 1.
    lead = 1 - quantile**2 * growth
    root = np.sqrt(estimate**2 - lead * (estimate**2 - quantile**2 * constant))
    limit: Array = (estimate + side * root) / lead
    return limit


def cleared(predicted: Prediction, limit: float) -> bool:
    """
    Whether every trait's interval lies below the limit. A rehearsal may stop there; one that alarms goes on, for how far
    the rows pull is then what is asked.
    """
    return bool(np.all(predicted.high < limit))


def uncalibrated(seen: Readings, traits: int, level: float) -> Prediction:
    """
    The readings continued in a straight line, with an interval over adapters alone; no verdict may rest on it.
    """
    from scipy import stats

    low, high = stats.norm.ppf([1 - (1 - level) / traits, level])
    error = seen.errors * min(seen.remaining, FARTHEST)
    return Prediction(seen.straight, seen.straight - low * error, seen.straight + high * error)


def look_of(table: CalibrationTable, stage: int) -> Look | None:
    """The table's look at a stage; none if no verdict was calibrated there."""
    return next((look for look in table.looks if look.stage == stage), None)
