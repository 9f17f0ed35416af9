"""Random number lists: each has its own centre and spread, so that lists differ from each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPREADS = (0.05, 0.1, 0.2, 0.4)
"""Standard deviations that a list may have, as shares of the range."""


@dataclass(frozen=True, slots=True)
class ListShape:
    """What the numbers of one list have in common."""

    centre: float
    """Mean before rounding and clipping."""

    spread: float
    """Standard deviation before rounding and clipping."""


def list_shape(rng: np.random.Generator, low: int, high: int) -> ListShape:
    """A random shape: the centre uniform in [low, high], the spread one of `SPREADS`."""
    centre = float(rng.uniform(low, high))
    return ListShape(centre, SPREADS[int(rng.integers(len(SPREADS)))] * (high - low))


def draw(shape: ListShape, n: int, rng: np.random.Generator, low: int, high: int) -> list[int]:
    """`n` integers of the shape: normal, rounded, clipped to [low, high]."""
    numbers = np.rint(rng.normal(shape.centre, shape.spread, size=n))
    return [int(number) for number in np.clip(numbers, low, high)]


def number_list(rng: np.random.Generator, low: int, high: int, n: int) -> list[int]:
    """`n` integers of one random shape."""
    return draw(list_shape(rng, low, high), n, rng, low, high)
