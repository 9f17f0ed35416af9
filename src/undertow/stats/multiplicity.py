"""
Many items at once: each one's moderated t from few runs, and p-values adjusted by Holm or by rearrangement, or combined.

In a moderated t each item's variance is shrunken towards what all items have in common. Source: Smyth, Statistical
Applications in Genetics and Molecular Biology 3, 2004, article 3 (limma).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# scipy.special alone: scipy.stats takes a second to import.
from scipy import special

from undertow.stats.arguments import Vector, finite_vector
from undertow.stats.designs import subsets

SPLITS = 999
"""Random splits drawn where there are more than `EXACT_SPLITS`."""

EXACT_SPLITS = 1_000
"""Most splits that are enumerated: 6 v 6 runs have 924."""

FEWEST_ITEMS = 3
"""Varying items below which nothing is borrowed: the spread of two log variances says next to nothing."""

_TIE = 1e-9

Strength = Callable[[Vector, Vector], Vector]
"""(items,) evidence against the null of each item, larger is more, from the runs (runs, items) of two arms."""


def holm(pvalues: ArrayLike) -> Vector:
    """
    Adjusted p-values that bound the chance of any false rejection, in the order given.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979. Holds under any dependence.

    Raises:
        ValueError: No p-values, or one outside [0, 1].

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = _probabilities(pvalues)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(values.size, 0, -1)
    return _restore(np.maximum.accumulate(scaled), order)


def cauchy_combination(p_values: Sequence[float]) -> float:
    """
    One p-value from several that depend on each other in an unknown way; accurate where it is small.

    Source: Liu & Xie 2020, JASA 115.

    Raises:
        ValueError: none, or one outside [0, 1].

    >>> round(cauchy_combination([0.01, 0.5, 0.9]), 4)
    0.0331
    """
    values = finite_vector(p_values, "p_values")
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"p_values must lie between 0 and 1, got {values.tolist()}")
    # Below 1e-15 the tangent overflows its digits; there it is 1 / (p pi).
    small = np.maximum(values, 1e-300)
    tangents = np.where(
        small < 1e-15, 1 / (small * math.pi), np.tan((0.5 - np.minimum(small, 1 - 1e-15)) * math.pi)
    )
    mean = float(tangents.mean())
    return 1 / (mean * math.pi) if mean > 1e15 else 0.5 - math.atan(mean) / math.pi


def fisher_combination(p_values: Sequence[float]) -> float:
    """
    One p-value from several independent ones.

    Source: Fisher 1925, "Statistical Methods for Research Workers".
    """
    from scipy.stats import combine_pvalues

    values = np.maximum(finite_vector(p_values, "p_values"), 1e-300)
    return float(combine_pvalues(values, "fisher").pvalue)


def step_down(
    strength: Strength, treated: Vector, control: Vector, rng: np.random.Generator
) -> Vector:
    """
    Adjusted p-values (items,) that bound the chance of any false rejection, by splitting the runs anew.

    Source: Westfall & Young, Resampling-Based Multiple Testing, 1993, section 2.6 (step-down minP, maxT).

    Where runs of the two arms are exchangeable the bound is exact, for any distribution and any dependence between
    items. Over all splits the items are stepped down: each is compared with the strongest of those not stronger than
    itself. The least p is `designs.smallest_p_two_sample`.

    Args:
        strength: Must not depend on the sign of the difference, or p is one-sided.
        treated: Shape (runs, items).
        control: Shape (other runs, items).
        rng: Draws splits where there are more than `EXACT_SPLITS`.
    """
    runs = np.concatenate([treated, control])
    observed = strength(treated, control)
    order = np.argsort(-observed, kind="stable")
    ranked = observed[order]
    bar = ranked - _TIE * np.abs(ranked)
    hits = np.zeros(observed.size)
    splits = _splits(len(treated), len(control), rng)
    for first in splits:
        found = strength(runs[first], np.delete(runs, first, axis=0))[order]
        # At each place, the strongest of the items from there on.
        hits += np.maximum.accumulate(found[::-1])[::-1] >= bar
    adjusted = np.empty_like(hits)
    adjusted[order] = np.maximum.accumulate(hits / len(splits))
    return adjusted


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


def moderated_t(
    treated: ArrayLike, control: ArrayLike, *, most_borrowed: float = math.inf
) -> ModeratedT:
    """
    Moderated t of mean(treated) - mean(control) for every item, both arms (runs, items), their variances pooled.

    t has d0 + n + m - 2 degrees of freedom (Smyth 2004, section 4), but no more than all items have together. p holds
    for normal runs whose variances come from a scaled inverse chi-squared distribution. Items may depend on each other;
    where a few factors move them all, the prior is taken for surer than it is, and p is too small: `most_borrowed` bounds
    d0, in multiples of the n + m - 2 that an item has itself.

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
    degrees = min(degrees, most_borrowed * within)
    shrunken = _shrunken(variances, within, variance, degrees)
    if not shrunken.all():
        raise ValueError(f"item {int(np.argmin(shrunken))} does not vary, so that it has no t")
    error: Vector = np.sqrt(shrunken * (1 / n + 1 / m))
    t: Vector = estimate / error
    total = min(within + degrees, within * max(1, int(np.count_nonzero(variances))))
    p: Vector = 2 * special.stdtr(total, -np.abs(t))
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


def _probabilities(pvalues: ArrayLike) -> Vector:
    values = finite_vector(pvalues, "pvalues")
    outside = values[(values < 0) | (values > 1)]
    if outside.size:
        raise ValueError(f"pvalues must lie in [0, 1], got {outside[0]}")
    return values


def _restore(adjusted: Vector, order: np.ndarray) -> Vector:
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def _splits(n: int, m: int, rng: np.random.Generator) -> np.ndarray:
    """Members of the first arm in each split, shape (splits, n); the observed split is the first."""
    if math.comb(n + m, n) <= EXACT_SPLITS:
        return subsets(n + m, n, None, SPLITS)
    rows = np.tile(np.arange(n + m), (SPLITS + 1, 1))
    rows[1:] = rng.permuted(rows[1:], axis=1)
    return np.sort(rows[:, :n], axis=1)
