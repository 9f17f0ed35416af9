"""
The result of a test over runs: estimate, interval, p, and the least p that the design can give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from undertow.stats.interval import Interval


@dataclass(frozen=True)
class TestResult:
    """What a test over independent runs found."""

    # pytest would collect a class of this name wherever a test module imports it.
    __test__: ClassVar[bool] = False

    estimate: float
    """Point estimate, in the unit of the measurement."""

    interval: Interval
    """Confidence interval around the estimate."""

    p: float
    """p-value, two-sided unless `test` says otherwise."""

    smallest_p: float
    """The least p that a design of this size can give."""

    n: str
    """Number of runs in words: `4 v 4`, `6 pairs`, `5 x 5`, `8 points`."""

    test: str
    """Name of the test, in words."""
