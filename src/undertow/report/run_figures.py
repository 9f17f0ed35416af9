"""Further figures of a run: whiskers of comparisons, which answer moved, matrices as heat, and curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from undertow.report.figure import Heat, HeatCell, Lane, Lanes, Panel, Plot, PlotLine
from undertow.report.page import Drawing, Name, Phrase, Table, key_sign
from undertow.report.plain_text import (
    NOTHING,
    decimal,
    difference,
    finite,
    shown_in_percent,
    significant,
    unit_name,
)
from undertow.report.run_tables import null_value
from undertow.report.svg import (
    Axis,
    across,
    circle,
    dot,
    grid,
    linear_axis,
    log_axis,
    sign,
    upright,
)
from undertow.results.arm_kinds import arm_words
from undertow.results.run_document import Comparison, Curves, Matrix, RunDocument, Series

_PAIRS = (("trait", "control"), ("foreign", "foreign-control"))
_LINE_STYLES = 6
"""Number of distinct line styles; further lines repeat them."""


@dataclass(frozen=True)
class AnswerShift:
    """One candidate answer: mean logit margin in the control and in the arm, in logits."""

    candidate: str
    control: float
    arm: float
    is_trait: bool
    """Whether it is the trait's answer."""

    @property
    def change(self) -> float:
        """The arm's mean minus the control's."""
        return self.arm - self.control

    @property
    def shown(self) -> str:
        """The change, signed."""
        return decimal(self.change, 2, signed=True)


@dataclass(frozen=True)
class ShiftPanel:
    """One arm against its control, over an axis that all panels share."""

    title: str
    tone: str
    axis: Axis
    shifts: tuple[AnswerShift, ...]


def whiskers(comparisons: Sequence[Comparison]) -> tuple[Drawing, ...]:
    """Each estimate with its interval, over an axis shared by all comparisons of its unit; no effect is in the middle."""
    axes = {}
    for unit in {one.unit for one in comparisons}:
        reach = max(_reach(one) for one in comparisons if one.unit == unit) or 1.0
        axes[unit] = Axis(-1.05 * reach, 1.05 * reach, ())
    return tuple(_whisker(one, axes[one.unit]) for one in comparisons)


def shift_panels(document: RunDocument) -> tuple[ShiftPanel, ...]:
    """A panel for each pair of arms that both have margins; candidates in the order of the first's."""
    found = [(arm, _shifts(document, arm, control)) for arm, control in _PAIRS]
    present = [(arm, shifts) for arm, shifts in found if shifts]
    if not present:
        return ()
    order = [shift.candidate for shift in present[0][1]]
    ends = [end for _, shifts in present for shift in shifts for end in (shift.arm, shift.control)]
    axis = linear_axis([0.0, *ends])
    return tuple(
        ShiftPanel(
            arm_words(arm, document.trait).label,
            arm_words(arm, document.trait).tone,
            axis,
            tuple(sorted(shifts, key=lambda shift: _place(order, shift.candidate))),
        )
        for arm, shifts in present
    )


def shifts_table(panel: ShiftPanel) -> Table:
    """Every candidate's mean logit margin, in logits."""
    rows = tuple(
        (
            shift.candidate,
            decimal(shift.control, 2, signed=True),
            decimal(shift.arm, 2, signed=True),
            shift.shown,
        )
        for shift in panel.shifts
    )
    columns = ("answer", "control", "student", "change, logits")
    return Table(panel.title, columns, rows, frozenset({1, 2, 3}))


def shift_lanes(panels: Sequence[ShiftPanel]) -> tuple[Lanes, ...]:
    """Which answer moved, drawn: a figure a panel."""
    return tuple(
        Lanes(
            f"shifts {panel.tone}",
            panel.title,
            (Panel(tuple(_shift_lane(one, panel.axis) for one in panel.shifts), panel.axis.ticks),),
            numbers=shifts_table(panel).shown(fold="The numbers"),
        )
        for panel in panels
    )


def shift_key() -> Phrase:
    """What the circles of the shifts are."""
    before, after = (key_sign(12, 12, circle(style, 6, 6, 4)) for style in ("before", "after"))
    return (
        "Mean logit margin of every candidate answer: ",
        before,
        " in the control, ",
        after,
        " in the student, and the change, in logits. Zero is chance.",
    )


def matrix_table(matrix: Matrix) -> Table:
    """The values of a matrix, with their intervals where there are any."""
    rows = tuple(
        (name, *(f"{cell.value} {cell.limits}".strip() for cell in cells))
        for name, cells in zip(matrix.rows, heat_cells(matrix), strict=False)
    )
    corner = f"{matrix.row_label} \\ {matrix.column_label}"
    numeric = frozenset(range(1, len(matrix.columns) + 1))
    return Table(matrix.name, (corner, *matrix.columns), rows, numeric)


def heat_table(matrix: Matrix) -> Heat:
    """A matrix as a heat table."""
    names = [*matrix.rows, *([""] * len(matrix.values))]
    return Heat(
        name=matrix.name,
        caption=matrix.caption,
        unit=f"Unit: {unit_name(matrix.unit)}.",
        row_label=matrix.row_label,
        column_label=matrix.column_label,
        columns=matrix.columns,
        rows=tuple(zip(names, heat_cells(matrix), strict=False)),
    )


def heat_cells(matrix: Matrix) -> tuple[tuple[HeatCell, ...], ...]:
    """The cells of a heat table, row by row."""
    values = finite([value for row in matrix.values for value in row])
    reach = max(map(abs, values), default=0.0) or 1.0
    shown = _writing(matrix, reach)
    return tuple(
        tuple(
            _cell(matrix, (row, column), value, reach, shown)
            for column, value in enumerate(matrix.values[row])
        )
        for row in range(len(matrix.values))
    )


def line_plot(curves: Curves, numbers: Table) -> Plot:
    """A line plot; values that a logarithmic axis cannot show are left out."""
    xs = [value for series in curves.series for value in series.x]
    ys = [value for series in curves.series for value in (*series.y, *_limits(series))]
    x = log_axis(xs) if curves.log_x else linear_axis(xs)
    y = log_axis(ys) if curves.log_y else linear_axis(ys)
    lines = tuple(
        _plot_line(curves, series, index % _LINE_STYLES, (x, y))
        for index, series in enumerate(curves.series)
    )
    zero = None if curves.log_y or not any(line.spans for line in lines) else _down(y, 0.0)
    return Plot(
        curves.caption, curves.x_label, curves.y_label, x, y, lines, numbers, zero, _remark(lines)
    )


def _plot_line(curves: Curves, series: Series, style: int, axes: tuple[Axis, Axis]) -> PlotLine:
    x, y = axes
    shown = [
        place
        for place, (here, value) in enumerate(zip(series.x, series.y, strict=False))
        if _shown(here, curves.log_x) and _shown(value, curves.log_y)
    ]
    points = tuple((x.at(series.x[place]), _down(y, series.y[place])) for place in shown)
    lows, highs = series.low or (), series.high or ()
    spans = tuple(
        (x.at(series.x[place]), _down(y, high), _down(y, low))
        for place in shown
        if place < min(len(lows), len(highs))
        and (low := lows[place]) is not None
        and (high := highs[place]) is not None
        and _shown(low, curves.log_y)
        and _shown(high, curves.log_y)
    )
    holds = series.holds or ()
    hollow = [n for n, place in enumerate(shown) if place < len(holds) and not holds[place]]
    return PlotLine(series.name, style, points, spans, frozenset(hollow))


def _limits(series: Series) -> list[float]:
    return list(finite([*(series.low or ()), *(series.high or ())]))


def _down(axis: Axis, value: float) -> float:
    return round(100 - axis.at(value), 2)


def _remark(lines: Sequence[PlotLine]) -> str:
    if not any(line.spans for line in lines):
        return ""
    hollow = "; a hollow point is not told from 0 after Holm's correction" if any(line.hollow for line in lines) else ""  # fmt: skip
    return f"Whiskers: each point's own interval{hollow}."


def _shifts(document: RunDocument, arm: str, control: str) -> tuple[AnswerShift, ...]:
    ours, theirs = _means(document, arm), _means(document, control)
    shifts = [
        AnswerShift(candidate, theirs[candidate], value, candidate == document.trait)
        for candidate, value in ours.items()
        if candidate in theirs
    ]
    return tuple(sorted(shifts, key=lambda shift: (-shift.change, shift.candidate)))


def _means(document: RunDocument, arm: str) -> dict[str, float]:
    runs = [one.margins for one in document.arms if one.arm == arm]
    names = dict.fromkeys(name for margins in runs for name in margins)
    values = {name: finite([margins.get(name) for margins in runs]) for name in names}
    return {name: math.fsum(found) / len(found) for name, found in values.items() if found}


def _place(order: list[str], candidate: str) -> int:
    return order.index(candidate) if candidate in order else len(order)


def _shift_lane(shift: AnswerShift, axis: Axis) -> Lane:
    control, arm = axis.at(shift.control), axis.at(shift.arm)
    marks = (
        *grid(axis),
        upright(axis.at(0), "zero"),
        across(control, arm),
        dot(control, "before", 4),
        dot(arm, "after", 4),
    )
    return Lane(Name(shift.candidate), marks, shift.shown, style="own" if shift.is_trait else "")


def _writing(matrix: Matrix, reach: float) -> Callable[[float | None], str]:
    """How the numbers of this matrix are shown: alike, and so that the largest shows three digits."""
    tables = (matrix.values, matrix.low or (), matrix.high or ())
    signed = any(end < 0 for table in tables for row in table for end in finite(row))
    if shown_in_percent(matrix.unit):
        return lambda value: difference(value, matrix.unit, signed=signed)
    if not signed:
        return lambda value: NOTHING if value is None else significant(value, 3)
    places = min(max(2, 2 - math.floor(math.log10(reach))), 6)
    return lambda value: decimal(value, places, signed=True)


def _cell(
    matrix: Matrix,
    place: tuple[int, int],
    value: float,
    reach: float,
    shown: Callable[[float | None], str],
) -> HeatCell:
    row, column = place
    low, high = (_at(limits, row, column) for limits in (matrix.low, matrix.high))
    share = abs(value) / reach if math.isfinite(value) else 0.0
    bounded = low is not None and high is not None
    return HeatCell(
        value=shown(value),
        limits=f"[{shown(low)}, {shown(high)}]" if bounded else "",
        sign="negative" if value < 0 else "positive",
        strength=round(0.6 * share, 2),
        matching=matrix.rows[row : row + 1] == matrix.columns[column : column + 1],
    )


def _at(limits: tuple[tuple[float | None, ...], ...] | None, row: int, column: int) -> float | None:
    if limits is None or row >= len(limits) or column >= len(limits[row]):
        return None
    return limits[row][column]


def _shown(value: float, log: bool) -> bool:
    return math.isfinite(value) and (value > 0 or not log)


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
