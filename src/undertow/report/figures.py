"""
Geometry of the plots: positions in percent, so that a figure fits any width with unscaled text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from undertow.report.arms import ArmSummary, Measure
from undertow.report.axis import Axis, linear_axis
from undertow.report.effects import null_value
from undertow.report.numbers import decimal, finite, percent
from undertow.results.run import Comparison


@dataclass(frozen=True)
class Dot:
    """A point of a plot, `level` steps away from the middle of its row."""

    x: float
    level: int


@dataclass(frozen=True)
class DotRow:
    """One arm: its runs as dots, its interval as a bar, its mean as a mark."""

    summary: ArmSummary
    dots: tuple[Dot, ...]
    low: float | None
    high: float | None
    mean: float
    untrained: float | None
    share: bool

    def shown(self, value: float | None) -> str:
        """A value as text, in the unit of the axis."""
        return percent(value) if self.share else decimal(value, 2, signed=True)

    @property
    def value(self) -> str:
        """The mean as text."""
        return self.shown(self.summary.mean)

    @property
    def limits(self) -> str:
        """The interval as text, or nothing."""
        low, high = self.summary.low, self.summary.high
        if low is None or high is None:
            return ""
        if self.share:
            return f"{decimal(100 * low, 1)}–{percent(high)}"
        return f"{self.shown(low)} to {self.shown(high)}"


@dataclass(frozen=True)
class DotFigure:
    """Arms side by side over one axis."""

    label: str
    axis: Axis
    rows: tuple[DotRow, ...]
    chance: float | None
    chance_value: str


@dataclass(frozen=True)
class Whisker:
    """An estimate with its interval over an axis shared by all comparisons of its unit."""

    null: float
    """Where there is no effect."""
    at: float
    low: float
    high: float
    open_low: bool
    open_high: bool


def dot_figure(arms: Sequence[ArmSummary], measure: Measure, chance: float | None) -> DotFigure:
    """The headline figure."""
    limit = chance if measure.share else None
    reach = finite([limit, *(end for arm in arms for end in (arm.low, arm.high, arm.untrained))])
    values = [value for arm in arms for value in arm.values]
    axis = linear_axis([0.0, *reach, *values], share=measure.share)
    return DotFigure(
        label=measure.name,
        axis=axis,
        rows=tuple(_dot_row(arm, axis, measure) for arm in arms),
        chance=None if limit is None else axis.at(limit),
        chance_value=_odds(limit),
    )


def whiskers(comparisons: Sequence[Comparison]) -> tuple[Whisker, ...]:
    """One whisker a comparison."""
    axes = {}
    for unit in {one.unit for one in comparisons}:
        reach = max(_reach(one) for one in comparisons if one.unit == unit) or 1.0
        axes[unit] = Axis(-1.05 * reach, 1.05 * reach, ())
    return tuple(_whisker(one, axes[one.unit]) for one in comparisons)


def _dot_row(arm: ArmSummary, axis: Axis, measure: Measure) -> DotRow:
    return DotRow(
        summary=arm,
        dots=_apart([axis.at(value) for value in arm.values]),
        low=None if arm.low is None else axis.at(arm.low),
        high=None if arm.high is None else axis.at(arm.high),
        mean=axis.at(arm.mean),
        untrained=None if arm.untrained is None else axis.at(arm.untrained),
        share=measure.share,
    )


def _odds(share: float | None) -> str:
    if share is None or not 0 < share < 1:
        return percent(share)
    one_in = round(1 / share)
    return f"1 in {one_in}" if abs(share * one_in - 1) < 1e-6 else percent(share)


def _apart(positions: list[float]) -> tuple[Dot, ...]:
    """Dots moved up or down where they would cover one another."""
    placed: list[Dot] = []
    for x in sorted(positions):
        near = {dot.level for dot in placed if abs(dot.x - x) < 1.8}
        level = next((level for level in (0, -1, 1, -2, 2) if level not in near), 0)
        placed.append(Dot(x, level))
    return tuple(placed)


def _reach(comparison: Comparison) -> float:
    ends = finite([comparison.estimate, comparison.low, comparison.high])
    return max((abs(end - null_value(comparison)) for end in ends), default=1.0)


def _whisker(comparison: Comparison, axis: Axis) -> Whisker:
    low, high, null = comparison.low, comparison.high, null_value(comparison)
    known = math.isfinite(comparison.estimate)
    return Whisker(
        null=50.0,
        at=axis.at(comparison.estimate - null) if known else 50.0,
        low=0.0 if low is None or not math.isfinite(low) else axis.at(low - null),
        high=100.0 if high is None or not math.isfinite(high) else axis.at(high - null),
        open_low=low is None or not math.isfinite(low),
        open_high=high is None or not math.isfinite(high),
    )
