"""
The moderated t: many items in few runs, each item's variance shrunken towards what all items have in common.

Source: Smyth, Statistical Applications in Genetics and Molecular Biology 3, 2004, article 3 (limma).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from undertow.stats.arguments import Vector, finite_vector

FEWEST_ITEMS = 3
"""Varying items below which nothing is borrowed: the spread of two log variances says next to nothing."""


@dataclass(frozen=True)
class ModeratedT:
    """Two-sample t tests of many items; arrays hold one entry an item."""

    estimate: Vector
    """Mean of the treated runs minus that of the control runs."""

    t: Vector
    """The estimate over its standard error, whose variance is shrunken."""

    error: Vector
    """That standard error."""

    p: Vector
    """Two-sided, of each item by itself."""

    degrees: float
    """Degrees of freedom of every t: the item's own and those of the prior."""

    prior_degrees: float
    """What the other items tell of one item's variance; infinite where all variances may be equal, 0 for nothing."""

    prior_variance: float
    """Where variances are shrunken to, in squared units of the items; 0 where `prior_degrees` is 0."""


def moderated_t(treated: ArrayLike, control: ArrayLike) -> ModeratedT:
    """
    Moderated t of mean(treated) - mean(control) for every item, both arms (runs, items), their variances pooled.

    t has d0 + n + m - 2 degrees of freedom (Smyth 2004, section 4), but no more than all items have together. p holds
    for normal runs whose variances come from a scaled inverse chi-squared distribution. Items may depend on each other;
    where a few factors move them all, the prior is taken for surer than it is, and p is too small.

    Raises:
        ValueError: an arm is not (runs, items) or not finite, items differ, there are fewer than three runs, or an item
            does not vary and nothing can be borrowed for it.

    >>> found = moderated_t([[1.0], [3.0]], [[0.0], [0.0]])
    >>> found.estimate.tolist(), found.t.round(6).tolist(), found.degrees
    ([2.0], [2.0], 2.0)
    """
    a, b = _arms(treated, control)
    n, m = len(a), len(b)
    within = n + m - 2
    estimate = a.mean(0) - b.mean(0)
    variances = (((a - a.mean(0)) ** 2).sum(0) + ((b - b.mean(0)) ** 2).sum(0)) / within
    variance, degrees = variance_prior(variances, within)
    shrunken = _shrunken(variances, within, variance, degrees)
    if not shrunken.all():
        raise ValueError(f"item {int(np.argmin(shrunken))} does not vary, so that it has no t")
    error: Vector = np.sqrt(shrunken * (1 / n + 1 / m))
    t: Vector = estimate / error
    total = min(within + degrees, within * max(1, int(np.count_nonzero(variances))))
    p: Vector = 2 * stats.t.sf(np.abs(t), total)
    return ModeratedT(estimate, t, error, p, total, degrees, variance)


def geometric_t(treated: ArrayLike, control: ArrayLike) -> Vector:
    """
    |mean(treated) - mean(control)| over a standard error from the geometric mean of the arms' variances, (items,).

    A statistic for permutation tests, without a p of its own. What moves seldom moves alike in all runs: the variance
    of the moved arm grows with the shift, and a t that pools it stays small however clear the shift is. Where both arms
    vary alike it is much like the moderated t. Variances are shrunken as there, or items that happen to vary little
    would win. The arms may be exchanged. 0 without a difference, infinite with one and no variance.

    Raises:
        ValueError: as `moderated_t`, but for items that do not vary.

    >>> geometric_t([[1.0], [7.0]], [[0.0], [2.0]]).round(6).tolist()
    [1.224745]
    """
    a, b = _arms(treated, control)
    repeated = [arm.var(0, ddof=1) for arm in (a, b) if len(arm) > 1]
    own = len(a) + len(b) - 2
    variances = np.prod(repeated, axis=0) ** (1 / len(repeated))
    shrunken = _shrunken(variances, own, *variance_prior(variances, own))
    size = np.abs(a.mean(0) - b.mean(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 0, size / np.sqrt(shrunken * (1 / len(a) + 1 / len(b))), 0.0)


def variance_prior(variances: ArrayLike, degrees: int) -> tuple[float, float]:
    """
    (s0^2, d0) of the items' true variances, from the moments of the logarithms of estimates of `degrees` each.

    Source: Smyth 2004, section 6.2: the mean of ln s^2 is ln s0^2 + psi(d/2) - ln(d/2) - psi(d0/2) + ln(d0/2), its
    variance psi'(d/2) + psi'(d0/2). Zeros are left out. (0, 0) for fewer than `FEWEST_ITEMS`.

    Raises:
        ValueError: there is none, or one is negative or not finite.
    """
    values = finite_vector(variances, "variances")
    if (values < 0).any():
        raise ValueError(f"variances must not be negative, got {values.min()}")
    logs = np.log(values[values > 0])
    if logs.size < FEWEST_ITEMS:
        return 0.0, 0.0
    mean = float(logs.mean()) - float(special.digamma(degrees / 2)) + math.log(degrees / 2)
    excess = float(logs.var(ddof=1)) - float(special.polygamma(1, degrees / 2))
    if excess <= 0:
        return math.exp(mean), math.inf
    half = inverse_trigamma(excess)
    return math.exp(mean + float(special.digamma(half)) - math.log(half)), 2 * half


def inverse_trigamma(value: float) -> float:
    """
    The x > 0 at which the trigamma function is `value` > 0, by Newton's method on its reciprocal, which is convex.

    Source: Smyth 2004, appendix.

    >>> round(inverse_trigamma(math.pi**2 / 6), 9)
    1.0
    """
    if value > 1e7:
        return 1 / math.sqrt(value)
    if value < 1e-6:
        return 1 / value
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x


def _shrunken(variances: Vector, within: int, variance: float, degrees: float) -> Vector:
    if math.isinf(degrees):
        return np.full_like(variances, variance)
    posterior: Vector = (degrees * variance + within * variances) / (degrees + within)
    return posterior


def _arms(treated: ArrayLike, control: ArrayLike) -> tuple[Vector, Vector]:
    a, b = _arm(treated, "treated"), _arm(control, "control")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"the arms hold {a.shape[1]} and {b.shape[1]} items")
    if min(len(a), len(b)) < 1 or len(a) + len(b) < 3:
        raise ValueError(f"needs three runs at least, got {len(a)} v {len(b)}")
    return a, b


def _arm(values: ArrayLike, name: str) -> Vector:
    arm = np.asarray(values, dtype=np.float64)
    if arm.ndim != 2:
        raise ValueError(f"{name} must hold runs in rows, items in columns; got shape {arm.shape}")
    if not np.isfinite(arm).all():
        raise ValueError(f"{name} must be finite")
    return arm
