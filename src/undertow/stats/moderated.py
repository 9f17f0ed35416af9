"""
Many two-sample t tests at once over few runs: each item's variance is shrunken towards what all items have in common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from undertow.stats.arguments import Vector
from undertow.stats.rearrangements import Rows

_CELLS = 4_000_000
"""Most entries of a table of splits by items, so that memory does not grow with the items."""


@dataclass(frozen=True)
class Prior:
    """
    The scaled inverse chi-squared distribution that the items' true variances were drawn from.
    """

    df: float
    """Runs' worth of knowledge that the other items give on one item's variance; 0 for none, infinite if all agree."""
    variance: float
    """Its location, in squared units of the items; 0 where `df` is 0."""

    def shrunken(self, variances: Vector, df: int) -> Vector:
        """
        Posterior variances of items whose own, of any shape, have `df` degrees of freedom.
        """
        if math.isinf(self.df):
            return np.full_like(variances, self.variance)
        shrunken: Vector = (self.df * self.variance + df * variances) / (self.df + df)
        return shrunken


@dataclass(frozen=True)
class ModeratedT:
    """
    One entry an item, all of shape (items,).
    """

    estimate: Vector
    """Mean of the treated runs minus that of the control runs."""
    t: Vector
    """The estimate over its shrunken standard error; 0 where neither differs from nor varies among the runs."""
    p: Vector
    """Two-sided, of each item by itself."""
    df: float
    """Degrees of freedom of every t."""
    prior: Prior


def moderated_t(treated: Vector, control: Vector) -> ModeratedT:
    """
    Two-sample t tests of every item, both arms (runs, items), with variances pooled over arms and shrunken over items.

    t has the items' own degrees of freedom and the prior's, but no more than all items have together.
    Source: Smyth, Statistical Applications in Genetics and Molecular Biology 3, 2004, article 3, sections 3 and 6.
    Items need not be independent for each p to hold; where they move as one, the prior knows less than it is taken to.

    Raises:
        ValueError: the shapes do not fit, a value is not finite, or there are fewer than three runs.

    >>> found = moderated_t(np.array([[1.0], [3.0]]), np.array([[0.0], [0.0]]))
    >>> found.estimate.tolist(), found.t.round(4).tolist(), found.df
    ([2.0], [2.0], 2)
    """
    n, m = _runs(treated, control)
    own = n + m - 2
    residual = np.concatenate([treated - treated.mean(0), control - control.mean(0)])
    variances = (residual**2).sum(0) / own
    prior = fit_prior(variances, own)
    estimate = treated.mean(0) - control.mean(0)
    t = _ratio(estimate, prior.shrunken(variances, own) * (1 / n + 1 / m))
    df = min(own + prior.df, own * max(1, np.count_nonzero(variances)))
    return ModeratedT(estimate, t, 2 * stats.t.sf(np.abs(t), df), df, prior)


def fit_prior(variances: Vector, df: int) -> Prior:
    """
    The prior of variances of `df` degrees of freedom each, by the moments of their logarithms; zeros are left out.

    Source: Smyth 2004, section 6.2: the log of a variance has the mean log(s0^2) + psi(df/2) - log(df/2) - psi(d0/2) +
    log(d0/2) and the variance psi'(df/2) + psi'(d0/2).
    """
    logs = np.log(variances[variances > 0])
    if logs.size < 2:
        return Prior(0.0, 0.0)
    centred = logs - special.digamma(df / 2) + math.log(df / 2)
    excess = float(centred.var(ddof=1)) - float(special.polygamma(1, df / 2))
    if excess <= 0:
        return Prior(math.inf, math.exp(centred.mean()))
    half = inverse_trigamma(excess)
    return Prior(2 * half, math.exp(centred.mean() + special.digamma(half) - math.log(half)))


def inverse_trigamma(value: float) -> float:
    """
    The x > 0 with psi'(x) = value > 0, by Newton's method on 1 / psi', which is convex (Smyth 2004, appendix).

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


def t_of_splits(treated: Vector, control: Vector, splits: Rows) -> tuple[Vector, Vector]:
    """
    (|t| of every item as observed, (items,); the largest |t| of any item under each split, (splits,)).

    `splits` are those of `rearrangements.subsets`: members of the treated arm, the observed ones first. Here the prior
    is that of the variances around the mean of all runs, which no split changes: so that the statistic under each
    split is what it would have been had that split been the true one, and the permutation test is exact.

    Raises:
        ValueError: the shapes do not fit, a value is not finite, or there are fewer than three runs.
    """
    n, m = _runs(treated, control)
    runs = np.concatenate([treated, control])
    runs = runs - runs.mean(0)
    prior = fit_prior((runs**2).sum(0) / (n + m - 1), n + m - 1)
    member = np.zeros((len(splits), n + m))
    np.put_along_axis(member, splits.astype(np.int64), 1.0, axis=1)
    observed, largest = np.empty(runs.shape[1]), np.zeros(len(splits))
    step = max(1, _CELLS // len(splits))
    for start in range(0, runs.shape[1], step):
        t = np.abs(_t_table(runs[:, start : start + step], member, n, prior))
        observed[start : start + step] = t[0]
        largest = np.maximum(largest, t.max(1))
    return observed, largest


def _t_table(runs: Vector, member: Vector, n: int, prior: Prior) -> Vector:
    total = len(runs)
    scale = 1 / n + 1 / (total - n)
    # Runs are centred, so the other arm's sum is the opposite of this one's.
    difference = scale * (member @ runs)
    residual = (runs**2).sum(0) - difference**2 / scale
    variances = np.maximum(residual, 0) / (total - 2)
    return _ratio(difference, prior.shrunken(variances, total - 2) * scale)


def _ratio(estimate: Vector, variance: Vector) -> Vector:
    with np.errstate(divide="ignore", invalid="ignore"):
        t: NDArray[np.float64] = estimate / np.sqrt(variance)
    return np.where(estimate == 0, 0.0, t)


def _runs(treated: Vector, control: Vector) -> tuple[int, int]:
    if treated.ndim != 2 or control.ndim != 2 or treated.shape[1] != control.shape[1]:
        raise ValueError(
            f"arms must be (runs, items) of the same items, got {treated.shape} and {control.shape}"
        )
    if not (np.isfinite(treated).all() and np.isfinite(control).all()):
        raise ValueError("the runs must be finite")
    if min(len(treated), len(control)) < 1 or len(treated) + len(control) < 3:
        raise ValueError(f"needs three runs at least, got {len(treated)} and {len(control)}")
    return len(treated), len(control)
