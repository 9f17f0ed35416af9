"""
From a rehearsal's readings to the transfer of the whole plan, with an error that was measured on students of teachers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.results.guarantees import CalibrationTable, Look

if TYPE_CHECKING:
    from undertow.influence.plan_rehearsal import Rehearsed

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
