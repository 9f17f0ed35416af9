"""The interval: an estimate that carries its uncertainty, level and number of independent units."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
