"""Equivalence: is the whole interval within a margin of zero?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from undertow.stats.arguments import count, finite_vector, fraction, positive
from undertow.stats.interval import Interval
from undertow.stats.inversion import ShiftRanges, lower_sided, tolerance_of, upper_sided
from undertow.stats.permutation import split_rows, split_statistics
from undertow.stats.rearrangements import RESAMPLES, signs
from undertow.stats.sign_flip import flip_statistics

Verdict = Literal["equivalent", "different", "undecided"]


@dataclass(frozen=True)
class Equivalence:
    """The outcome of two one-sided tests against a margin."""

    verdict: Verdict
    """`equivalent`: all of the interval inside the margin; `different`: all of it outside."""

    interval: Interval
    """Interval at level 1 - 2 alpha."""

    margin: float
    """Largest magnitude that counts as none, in the unit of the interval."""

    alpha: float
    """Chance of declaring equivalence where the true value is at the margin."""

    p: float | None
    """Larger p of the two one-sided tests; None where only an interval was given."""

    sentence: str
    """The verdict with its numbers."""


def equivalence(interval: Interval, margin: float, *, unit: str = "") -> Equivalence:
    """
    Two one-sided tests by interval: equivalent if [low, high] lies strictly inside the margin.

    The interval's level is 1 - 2 alpha: pass a .90 interval for alpha .05. Source: Schuirmann,
    Journal of Pharmacokinetics and Biopharmaceutics 15, 1987. For two arms of unequal size use
    `two_sample_equivalence`, as the limits of a two-sided permutation test do not err equally.

    Raises:
        ValueError: The margin is not finite and positive.
    """
    positive(margin, "margin")
    return _judge(interval, margin, None, unit)


def two_sample_equivalence(
    treated: ArrayLike,
    control: ArrayLike,
    margin: float,
    *,
    alpha: float = 0.05,
    unit: str = "",
    rng: np.random.Generator | None = None,
    resamples: int = RESAMPLES,
) -> Equivalence:
    """
    Equivalence of two arms' means by two one-sided permutation tests, one value a run.

    Exact under a shift model for any arm sizes and any shape of the noise.

    Raises:
        ValueError: As `two_sample_permutation`; alpha not in (0, .5), or the margin not positive.
    """
    _check(alpha, margin)
    treated, control = finite_vector(treated, "treated"), finite_vector(control, "control")
    n, m = treated.size, control.size
    rows = split_rows(n, m, rng, count(resamples, "resamples"))
    statistics, weights = split_statistics(treated, control, rows)
    tolerance = tolerance_of(np.concatenate([treated, control]))
    above = upper_sided(statistics, weights, tolerance)
    below = lower_sided(statistics, weights, tolerance)
    estimate = float(treated.mean() - control.mean())
    return _two_one_sided(above, below, estimate, n + m, margin, alpha, unit)


def sign_flip_equivalence(
    differences: ArrayLike,
    margin: float,
    *,
    alpha: float = 0.05,
    unit: str = "",
    rng: np.random.Generator | None = None,
    resamples: int = RESAMPLES,
) -> Equivalence:
    """
    Equivalence of paired runs by two one-sided sign-flip tests, one difference a pair.

    Exact where differences are symmetric about the true shift.

    Raises:
        ValueError: As `sign_flip`; alpha not in (0, .5), or the margin not positive.
    """
    _check(alpha, margin)
    values = finite_vector(differences, "differences")
    half = signs(values.size, rng, count(resamples, "resamples"))
    # One-sided tests need both of each pair (signs, opposite signs); the first stays the observed.
    statistics, weights = flip_statistics(values, np.vstack([half, -half]))
    above = upper_sided(statistics, weights, tolerance_of(values))
    below = lower_sided(statistics, weights, tolerance_of(values))
    return _two_one_sided(above, below, float(values.mean()), values.size, margin, alpha, unit)


def _two_one_sided(
    above: ShiftRanges,
    below: ShiftRanges,
    estimate: float,
    n: int,
    margin: float,
    alpha: float,
    unit: str,
) -> Equivalence:
    low = min(float(above.limits(1 - alpha)[0]), estimate)
    high = max(float(below.limits(1 - alpha)[1]), estimate)
    interval = Interval(estimate, low, high, 1 - 2 * alpha, n)
    return _judge(interval, margin, max(above.p_at(-margin), below.p_at(margin)), unit)


def _judge(interval: Interval, margin: float, p: float | None, unit: str) -> Equivalence:
    low, high, level = interval.low, interval.high, interval.level
    bounds = f"±{margin:g}{f' {unit}' if unit else ''}"
    shown = f"the {100 * level:g} % interval [{low:.3g}, {high:.3g}]"
    verdict: Verdict
    if -margin < low and high < margin:
        verdict, sentence = "equivalent", f"equivalent to none: {shown} lies within {bounds}"
    elif low > margin or high < -margin:
        verdict, sentence = "different", f"different: {shown} lies wholly outside {bounds}"
    elif np.isinf(low) and np.isinf(high):
        verdict = "undecided"
        sentence = f"undecided: {interval.n} runs give no finite {100 * level:g} % interval"
    else:
        verdict, sentence = "undecided", f"undecided: {shown} reaches across ±{margin:g}"
        sentence = f"{sentence}{f' {unit}' if unit else ''}"
    return Equivalence(verdict, interval, margin, (1 - level) / 2, p, sentence)


def _check(alpha: float, margin: float) -> None:
    if fraction(alpha, "alpha") >= 0.5:
        raise ValueError(f"alpha must lie in (0, .5), got {alpha}")
    positive(margin, "margin")
