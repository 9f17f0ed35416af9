"""
The step-down permutation test of many items at once: adjusted p-values that are exact whatever binds the items.

Source: Westfall & Young, Resampling-Based Multiple Testing, 1993, section 2.6 (step-down minP, maxT).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from undertow.stats.arguments import Vector
from undertow.stats.rearrangements import subsets

SPLITS = 999
"""Random splits drawn where there are more than `EXACT_SPLITS`."""

EXACT_SPLITS = 1_000
"""Most splits that are enumerated: 6 v 6 runs have 924."""

_TIE = 1e-9

Strength = Callable[[Vector, Vector], Vector]
"""(items,) evidence against the null of each item, larger is more, from the runs (runs, items) of two arms."""


def step_down(
    strength: Strength, treated: Vector, control: Vector, rng: np.random.Generator
) -> Vector:
    """
    Adjusted p-values (items,) that bound the chance of any false rejection, by splitting the runs anew.

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


def _splits(n: int, m: int, rng: np.random.Generator) -> np.ndarray:
    """
    Members of the first arm in each split, shape (splits, n); the observed split is the first.
    """
    if math.comb(n + m, n) <= EXACT_SPLITS:
        return subsets(n + m, n, None, SPLITS)
    rows = np.tile(np.arange(n + m), (SPLITS + 1, 1))
    rows[1:] = rng.permuted(rows[1:], axis=1)
    return np.sort(rows[:, :n], axis=1)
