"""The headline of a run: every run a dot, every arm with its mean and interval; and the whiskers of comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from undertow.report.figure import Lane, Lanes, Panel
from undertow.report.page import Drawing, Grid, Phrase, Remark, Strong, Styled, Table, key_sign
from undertow.report.plain_text import NOTHING, decimal, finite, percent, plain
from undertow.report.run_arms import ArmSummary, Measure
from undertow.report.run_tables import null_value
from undertow.report.svg import (
    Axis,
    Mark,
    across,
    band,
    circle,
    dot,
    grid,
    linear_axis,
    scale,
    sign,
    strip,
    upright,
)
from undertow.results.run_document import Comparison

_BAR = 30
"""Characters of the axis in a terminal."""


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


def whiskers(comparisons: Sequence[Comparison]) -> tuple[Drawing, ...]:
    """Each estimate with its interval, over an axis shared by all comparisons of its unit; no effect is in the middle."""
    axes = {}
    for unit in {one.unit for one in comparisons}:
        reach = max(_reach(one) for one in comparisons if one.unit == unit) or 1.0
        axes[unit] = Axis(-1.05 * reach, 1.05 * reach, ())
    return tuple(_whisker(one, axes[one.unit]) for one in comparisons)


def figure_table(figure: DotFigure) -> Table:
    """The numbers of the headline figure: an arm a row."""
    columns = ("arm", "student", "trained on", "runs", "mean", "95 % interval", "untrained base")
    rows = []
    for row in figure.rows:
        arm = row.summary
        untrained = row.shown(arm.untrained)
        limits = row.limits or NOTHING
        runs = str(len(arm.values))
        each = "  ".join(row.shown(value) for value in arm.values)
        words = (arm.label, plain(arm.detail))
        rows.append((arm.arm, *words, runs, row.value, limits, untrained, each))
    return Table(figure.label, (*columns, "each run"), tuple(rows), frozenset({3, 4, 5, 6}))


def dots(figure: DotFigure, numbers: Table) -> Lanes:
    """The headline figure as it is drawn."""
    key: list[Phrase] = [
        (key_sign(14, 14, circle("dot", 7, 7, 4.5)), "one run"),
        (key_sign(34, 16, _BAND, _line("mean", 17, 0, 16)), "mean and its 95 % interval"),
    ]
    if figure.chance is not None:
        key.append((key_sign(6, 18, _line("chance", 3, 0, 18)), f"chance, {figure.chance_value}"))
    if any(row.untrained is not None for row in figure.rows):
        key.append((key_sign(6, 18, _line("untrained", 3, 0, 18)), "the untrained base"))
    lanes = tuple(_dot_lane(row, figure) for row in figure.rows)
    panel = Panel(lanes, figure.axis.ticks)
    return Lanes("dots", figure.label, (panel,), key=tuple(key), numbers=numbers)


def dot_bars(figure: DotFigure) -> Grid:
    """The headline figure in characters."""
    rows = [
        (
            Styled(f"{row.summary.label}, {row.summary.detail}".removesuffix(", ")),
            Styled(_strip(row, figure.chance), row.summary.tone),
            Styled(row.value, "strong"),
            Styled(row.limits),
        )
        for row in figure.rows
    ]
    rows.append((Styled(""), Styled(scale(figure.axis, _BAR)), Styled(""), Styled("")))
    return Grid(tuple(rows), right=frozenset({2}), whole=frozenset({1, 2, 3}))


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


def _whisker(comparison: Comparison, axis: Axis) -> Drawing:
    null = null_value(comparison)
    low, at, high = (
        axis.at(value - null) if value is not None and math.isfinite(value) else None
        for value in (comparison.low, comparison.estimate, comparison.high)
    )
    marks = (
        upright(50.0, "zero"),
        across(0.0 if low is None else low, 100.0 if high is None else high),
        sign("◂", 0, -3, y="15", dy=0) if low is None else upright(low, "span", "7", "17"),
        sign("▸", 100, -5, y="15", dy=0) if high is None else upright(high, "span", "7", "17"),
        dot(50.0 if at is None else at, "estimate", 5),
    )
    return Drawing(marks, "whisker")


def _dot_lane(row: DotRow, figure: DotFigure) -> Lane:
    marks = list(grid(figure.axis))
    marks += [] if figure.chance is None else [upright(figure.chance, "chance")]
    marks += [] if row.untrained is None else [upright(row.untrained, "untrained")]
    if row.low is not None and row.high is not None:
        marks.append(band(row.low, row.high, "band", top="23", height="14", rx=3))
    marks.append(upright(row.mean, "mean", "15", "45"))
    marks += [dot(one.x, "dot", 4.5, str(30 + 9 * one.level)) for one in row.dots]
    who = (Strong(row.summary.label), " ", Remark(row.summary.detail))
    fill = "filled" if row.summary.filled else "hollow"
    value = (Strong(row.value), " ", Remark(row.limits))
    return Lane(who, tuple(marks), value, style=f"{row.summary.tone} {fill}")


def _line(style: str, x: int, top: int, bottom: int) -> Mark:
    return Mark("line", {"class": style, "x1": x, "x2": x, "y1": top, "y2": bottom})


_BAND = Mark("rect", {"class": "band", "x": 1, "y": 3, "width": 32, "height": 10, "rx": 3})


def _strip(row: DotRow, chance: float | None) -> str:
    """One line of characters: `●` the runs, `━` the interval, `┃` the mean, `┆` chance."""
    strokes: list[tuple[float, float, str]] = [] if chance is None else [(chance, chance, "┆")]
    if row.low is not None and row.high is not None:
        strokes.append((row.low, row.high, "━"))
    runs = [(run.x, run.x, "●") for run in row.dots]
    return strip(_BAR, [*strokes, (row.mean, row.mean, "┃"), *runs])
