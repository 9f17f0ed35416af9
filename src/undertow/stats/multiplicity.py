"""Many p-values at once: adjusted by Holm or by rearrangement for any error, or combined into one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from undertow.stats.arguments import Vector, finite_vector
from undertow.stats.designs import subsets

SPLITS = 999
"""Random splits drawn where there are more than `EXACT_SPLITS`."""

EXACT_SPLITS = 1_000
"""Most splits that are enumerated: 6 v 6 runs have 924."""

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
    """
    Members of the first arm in each split, shape (splits, n); the observed split is the first.
    """
    if math.comb(n + m, n) <= EXACT_SPLITS:
        return subsets(n + m, n, None, SPLITS)
    rows = np.tile(np.arange(n + m), (SPLITS + 1, 1))
    rows[1:] = rng.permuted(rows[1:], axis=1)
    return np.sort(rows[:, :n], axis=1)
