"""The interval, the result of a test over runs, and the quantiles that they are made with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

# scipy.special alone: scipy.stats takes a second to import.
from scipy import special  # type: ignore[import-untyped, unused-ignore]


@dataclass(frozen=True)
class Interval:
    """An estimate with a two-sided confidence interval."""

    estimate: float
    """Point estimate, in the unit of the measurement."""

    low: float
    """Lower confidence limit; `-inf` where the design gives none."""

    high: float
    """Upper confidence limit; `inf` where the design gives none."""

    level: float
    """Confidence level, in (0, 1)."""

    n: int
    """Number of independent units (runs, not samples) behind the estimate."""

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie in (0, 1), got {self.level}")
        if math.isnan(self.estimate) or math.isnan(self.low) or math.isnan(self.high):
            raise ValueError(f"interval holds NaN: {self.estimate} [{self.low}, {self.high}]")
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")

    @property
    def width(self) -> float:
        """Distance between the limits."""
        return self.high - self.low


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


# scipy.special alone: scipy.stats takes a second to import.


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    return float(special.ndtri(probability))


def t_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t distribution."""
    return float(special.stdtrit(degrees, probability))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Quantile of the beta distribution."""
    return float(special.betaincinv(a, b, probability))
