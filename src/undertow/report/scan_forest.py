"""The figure of a screen: expected transfer of every trait with its interval, one panel a subject."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from undertow.report.figure import Lane, Lanes, Panel, Pointer
from undertow.report.page import Badge, Name, Phrase, Strong, Table, inlines
from undertow.report.plain_text import (
    decimal,
    finite,
    in_words,
    interval,
    percent,
    shortened,
    visible,
)
from undertow.report.svg import Axis, across, band, dot, grid, linear_axis, sign, strip, upright
from undertow.results.measurement import SEVERITY, Measurement
from undertow.results.scan_document import ALL, ASSISTANT, WHOLE, ScanDocument, SubjectResult

PANELS = 6
ROWS_ALONE = 16
ROWS_EACH = 6
"""Most panels, and most traits in a panel: alone, or beside others."""

_BAR = 34
"""Characters of the axis in a terminal."""

_TRAITS_ALONE, _TRAITS_EACH = 5, 2
"""Traits that a terminal shows of a subject: alone, or beside others."""

_REACH = 4.0
"""An interval is drawn up to this many times the largest estimate, or the limit: one wide interval
must not shrink all others to dots."""


def transfer_checks(document: ScanDocument) -> tuple[str, ...]:
    """Ids of the checks that judged transfer."""
    return tuple(run.check for run in document.checks if run.kind == "transfer")


def transfers(document: ScanDocument, subject: str) -> tuple[Measurement, ...]:
    """What was measured of transfer on a subject, the largest estimate first."""
    judging = transfer_checks(document)
    measured = [
        entry
        for entry in document.measurements
        if entry.subject == subject and entry.check in judging and entry.estimate is not None
    ]
    return tuple(sorted(measured, key=_descending))


def by_severity(subjects: Sequence[SubjectResult]) -> tuple[SubjectResult, ...]:
    """The subjects, the most severe first; of equal ones that with the largest transfer."""
    return tuple(
        sorted(subjects, key=lambda each: (SEVERITY.index(each.verdict), -(each.transfer or 0.0)))
    )


def in_order(subjects: Sequence[SubjectResult]) -> tuple[SubjectResult, ...]:
    """The whole file, then its sources, the most severe first."""
    return tuple(
        sorted(by_severity(subjects), key=lambda one: (*WHOLE, one.subject).index(one.subject))
    )


def forest(document: ScanDocument, numbers: Table | None = None) -> Lanes | None:
    """
    The figure; None where no transfer was measured.

    Args:
        numbers: the table of what is drawn.
    """
    all_rows = [(one, transfers(document, one.subject)) for one in in_order(document.subjects)]
    measured = [(one, rows) for one, rows in all_rows if rows]
    if not measured:
        return None
    most = ROWS_ALONE if len(measured) == 1 else ROWS_EACH
    shown = [(one, rows[:most], len(rows[most:])) for one, rows in measured[:PANELS]]
    rows = [row for _, rows, _ in shown for row in rows]
    axis, levels = _axis(rows, document.limit), {row.level for row in rows}
    level = levels.pop() if len(levels) == 1 else None
    others = len(measured) - len(shown)
    return Lanes(
        style="forest",
        caption="Expected transfer under the plan",
        unit="by trait, in logits"
        + ("" if level is None else f"; bars are {level_text(level)} intervals"),
        panels=tuple(
            _panel(one, rows, left_out, axis, document.limit, alone=len(shown) == 1)
            for one, rows, left_out in shown
        ),
        legend=f"● estimate   ━ interval   ┆ zero   ┃ limit, {decimal(document.limit, 2)}",
        rest=f"{others} more in the table below." if others else "",
        numbers=numbers,
        indented=True,
    )


def brief_forest(figure: Lanes) -> Lanes:
    """The figure for a terminal: the first traits of each panel, names cut to their columns."""
    alone = len(figure.panels) == 1
    return replace(figure, panels=tuple(_brief_panel(one, alone) for one in figure.panels))


def level_text(level: float) -> str:
    """A level in percent, with a decimal only where it needs one."""
    return percent(level, 1).replace(".0\N{NO-BREAK SPACE}", "\N{NO-BREAK SPACE}")


def subject_name(subject: str) -> str:
    """The subject in words."""
    whole = {ALL: "the whole file", ASSISTANT: "assistant turns only"}
    return whole.get(subject, subject)


def _descending(measurement: Measurement) -> tuple[bool, float]:
    value = measurement.estimate
    known = value is not None and not math.isnan(value)
    return (not known, -(value or 0.0) if known else 0.0)


def _axis(rows: Sequence[Measurement], limit: float) -> Axis:
    estimates = finite([row.estimate for row in rows])
    reach = _REACH * max([abs(limit), *map(abs, estimates)])
    ends = finite([end for row in rows for end in (row.low, row.high)])
    kept = [min(max(end, -reach), reach) for end in ends]
    return linear_axis([0.0, 1.5 * limit, *estimates, *kept])


def _panel(
    result: SubjectResult,
    rows: Sequence[Measurement],
    left_out: int,
    axis: Axis,
    limit: float,
    *,
    alone: bool,
) -> Panel:
    badge = Badge(in_words(result.verdict), result.verdict)
    zero, end = axis.at(0), axis.at(limit)
    limit_text = f"limit, {decimal(limit, 2)} →" if alone else "limit →"
    opening = "beyond the " if alone else ""
    pointers = [Pointer(zero, "no transfer" if alone else "0", "none")] if zero > 4 else []
    pointers.append(Pointer(end, limit_text, "beyond", opening))
    labelled = (axis.ticks[0].at, axis.ticks[-1].at, zero)
    return Panel(
        lanes=tuple(_lane(row, axis, limit, alone, lead=row is rows[0]) for row in rows),
        ticks=tuple(tick for tick in axis.ticks if alone or tick.at in labelled),
        title="" if alone else (Name(subject_name(result.subject)), " ", badge),
        pointers=tuple(pointers),
        unit="logits",
        left_out=left_out,
        rest=f"and {left_out} traits below these" if left_out else "",
    )


def _lane(measurement: Measurement, axis: Axis, limit: float, alone: bool, *, lead: bool) -> Lane:
    at, low, high = (
        axis.at(value) if value is not None and math.isfinite(value) else None
        for value in (measurement.estimate, measurement.low, measurement.high)
    )
    zero, end = axis.at(0), axis.at(limit)
    marks = [band(end, 100, "zone"), *grid(axis), upright(zero, "zero"), upright(end, "limit")]
    strokes: list[tuple[float, float, str]] = []
    bounded = measurement.low is not None or measurement.high is not None
    if bounded:
        left, right = low if low is not None else 0.0, high if high is not None else 100.0
        marks.append(across(left, right))
        strokes.append((left, right, "━"))
        # An interval may go on beyond the axis.
        if low is None or (measurement.low or 0.0) < axis.low:
            marks.append(sign("◂", 0, -2))
            strokes.append((left, left, "◂"))
        if high is None or (measurement.high or 0.0) > axis.high:
            marks.append(sign("▸", 100, -8))
            strokes.append((right, right, "▸"))
    strokes += [(zero, zero, "┆┼"), (end, end, "┃╋")]
    if at is not None:
        marks.append(dot(at, "estimate", 5 if alone else 4))
        strokes.append((at, at, "●"))
    estimate = decimal(measurement.estimate, 2, signed=True)
    return Lane(
        who=Name(measurement.trait or measurement.name or measurement.check),
        marks=tuple(marks),
        value=Strong(estimate) if lead else estimate,
        limits=interval(measurement.low, measurement.high, "logits") if bounded else "",
        style=f"{measurement.verdict or 'none'}{' lead-row' if lead else ''}",
        strip=strip(_BAR, strokes),
    )


def _brief_panel(panel: Panel, alone: bool) -> Panel:
    shown = panel.lanes[: _TRAITS_ALONE if alone else _TRAITS_EACH]
    lanes = [replace(lane, who=_cut(lane.who, 12)) for lane in shown]
    title = "" if alone else _cut(inlines(panel.title)[0], 20)
    rest = len(panel.lanes) - len(shown) + panel.left_out
    if alone and rest:
        lanes.append(Lane(f"{rest} more", (), style="about", strip="below these"))
    return replace(panel, lanes=tuple(lanes), title=title)


def _cut(name: Phrase, most: int) -> Name:
    (part,) = inlines(name)
    return Name(shortened(visible(part.text if isinstance(part, Name) else str(part)), most))
