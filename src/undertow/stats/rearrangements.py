"""
Every rearrangement of a design, or random ones; the first row is always the observed arrangement.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

EXACT_LIMIT = 200_000
"""Most rearrangements that are enumerated: covers 10 v 10 runs and 18 pairs."""

EXACT_ORDER = 8
"""Most objects whose permutations are enumerated (8! = 40 320)."""

RESAMPLES = 9_999
"""Random rearrangements drawn where there are too many to enumerate."""

Rows = NDArray[np.int32]


def subsets(total: int, size: int, rng: np.random.Generator | None, resamples: int) -> Rows:
    """
    Subsets of `size` out of `total`, one a row, shape (subsets, size).

    Raises:
        ValueError: There are more than `EXACT_LIMIT` and no generator was passed.
    """
    number = math.comb(total, size)
    if number <= EXACT_LIMIT:
        return _all_subsets(total, size)
    return _random_orders(total, _generator(rng, number), resamples)[:, :size]


def signs(size: int, rng: np.random.Generator | None, resamples: int) -> Rows:
    """
    Rows of +1 and -1, shape (rows, size), one of each pair (signs, opposite signs).

    A two-sided test counts both of a pair or neither, so half of the 2^size rows suffice.

    Raises:
        ValueError: There are more than `EXACT_LIMIT` and no generator was passed.
    """
    number = 2 ** (size - 1)
    if number <= EXACT_LIMIT:
        return _all_signs(size)
    drawn = _generator(rng, number).integers(0, 2, (resamples, size), dtype=np.int32)
    return np.vstack([np.ones((1, size), dtype=np.int32), 1 - 2 * drawn])


def permutations(size: int, rng: np.random.Generator | None, resamples: int) -> Rows:
    """
    Permutations of `size` objects, one a row, shape (permutations, size).

    Raises:
        ValueError: There are more than `EXACT_ORDER` objects and no generator was passed.
    """
    if size <= EXACT_ORDER:
        return _all_permutations(size)
    return _random_orders(size, _generator(rng, math.factorial(size)), resamples)


def _generator(rng: np.random.Generator | None, number: int) -> np.random.Generator:
    if rng is None:
        raise ValueError(f"{number} rearrangements are too many to enumerate: pass rng")
    return rng


def _random_orders(size: int, rng: np.random.Generator, resamples: int) -> Rows:
    rows = np.tile(np.arange(size, dtype=np.int32), (resamples + 1, 1))
    rows[1:] = rng.permuted(rows[1:], axis=1)
    return rows


@lru_cache(maxsize=8)
def _all_subsets(total: int, size: int) -> Rows:
    flat = itertools.chain.from_iterable(itertools.combinations(range(total), size))
    return _frozen(np.fromiter(flat, dtype=np.int32).reshape(-1, size))


@lru_cache(maxsize=8)
def _all_signs(size: int) -> Rows:
    # The highest bit stays 0: the last sign is fixed, which picks one of each opposite pair.
    bits = (np.arange(2 ** (size - 1))[:, None] >> np.arange(size)) & 1
    return _frozen((1 - 2 * bits).astype(np.int32))


@lru_cache(maxsize=8)
def _all_permutations(size: int) -> Rows:
    flat = itertools.chain.from_iterable(itertools.permutations(range(size)))
    return _frozen(np.fromiter(flat, dtype=np.int32).reshape(-1, size))


def _frozen(rows: Rows) -> Rows:
    rows.setflags(write=False)
    return rows
