"""The figure of a screen: what moves each trait by how much, with its interval, one panel a subject."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from undertow.report.figure import Lane, Lanes, Panel, Pointer
from undertow.report.page import Name, Phrase, Strong, Table, inlines, verdict_badge
from undertow.report.plain_text import (
    decimal,
    finite,
    interval,
    percent,
    shortened,
    tone,
    visible,
    whole,
)
from undertow.report.svg import Axis, across, band, dot, grid, linear_axis, sign, strip, upright
from undertow.results.measurement import SEVERITY, Measurement
from undertow.results.scan_document import (
    ALL,
    ASSISTANT,
    WHOLE,
    AnyScan,
    AnySubjectResult,
    FormerScanDocument,
    StageResult,
    SubjectResult,
)

STAGES = ("", "stage 1", "stage 2")
"""Names of measurements, by stage; a scan before references had none."""

PANELS = 6
ROWS_ALONE = 16
ROWS_EACH = 6
"""Most panels, and most traits in a panel: alone, or beside others."""


_BAR = 34
"""Characters of the axis in a terminal."""

_TRAITS_ALONE, _TRAITS_EACH = 5, 2
"""Traits that a terminal shows of a subject: alone, or beside others."""

_REACH = 4.0
"""An interval is drawn up to this many times the largest estimate, or the bound: one wide interval
must not shrink all others to dots."""


@dataclass(frozen=True)
class Bound:
    """The line of a panel beyond which a trait moves too far, or is not."""

    value: float
    style: str
    """`limit`, or `excluded` where no effect lies beyond it."""
    opening: str
    told: str
    """What it is called in a panel that stands alone; the opening where there is room."""


@dataclass(frozen=True)
class _Drawn:
    result: AnySubjectResult
    rows: tuple[Measurement, ...]
    left_out: int
    bound: Bound | None
    comparison: StageResult | None


def transfer_checks(document: AnyScan) -> tuple[str, ...]:
    """Ids of the checks that judged transfer."""
    return tuple(run.check for run in document.checks if run.kind == "transfer")


def stages(document: AnyScan, subject: str) -> tuple[Measurement, ...]:
    """What was measured of transfer on a subject in all stages, the last stage first, the largest estimate first."""
    judging = transfer_checks(document)
    measured = [
        entry
        for entry in document.measurements
        if entry.subject == subject and entry.check in judging and entry.estimate is not None
    ]
    return tuple(sorted(measured, key=lambda entry: (-_stage(entry), *_descending(entry))))


def transfers(document: AnyScan, subject: str) -> tuple[Measurement, ...]:
    """The same of the last stage alone, on which the verdict rests."""
    measured = stages(document, subject)
    last = max(map(_stage, measured), default=0)
    return tuple(entry for entry in measured if _stage(entry) in (0, last))


def by_severity(subjects: Sequence[AnySubjectResult]) -> tuple[AnySubjectResult, ...]:
    """The subjects, the most severe first; of equal ones that with the largest transfer."""
    return tuple(
        sorted(subjects, key=lambda each: (SEVERITY.index(each.verdict), -(each.transfer or 0.0)))
    )


def in_order(subjects: Sequence[AnySubjectResult]) -> tuple[AnySubjectResult, ...]:
    """The whole file, then its sources, the most severe first."""
    return tuple(
        sorted(by_severity(subjects), key=lambda one: (*WHOLE, one.subject).index(one.subject))
    )


def forest(document: AnyScan, numbers: Table | None = None) -> Lanes | None:
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
    shown = [_drawn(document, one, rows, most) for one, rows in measured[:PANELS]]
    axis, levels = _axis(shown), {row.level for panel in shown for row in panel.rows}
    level = levels.pop() if len(levels) == 1 else None
    others = len(measured) - len(shown)
    return Lanes(
        style="forest",
        caption=_caption(document, shown),
        unit="by trait, in logits"
        + ("" if level is None else f"; each end of a bar holds at {level_text(level)}"),
        panels=tuple(_panel(one, axis, alone=len(shown) == 1) for one in shown),
        legend=_legend(shown),
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
    whole_file = {ALL: "the whole file", ASSISTANT: "assistant turns only"}
    return whole_file.get(subject, subject)


def after(comparison: StageResult) -> str:
    """How much of the plan was trained, e.g. `32 of 128 steps`."""
    if comparison.steps == comparison.planned_steps:
        return f"all {whole(comparison.steps)} steps"
    return f"{whole(comparison.steps)} of {whole(comparison.planned_steps)} steps"


def _drawn(
    document: AnyScan, result: AnySubjectResult, rows: tuple[Measurement, ...], most: int
) -> _Drawn:
    comparison = None
    if isinstance(result, SubjectResult):
        # A stage that ended without a measurement has nothing to draw; the one before it has.
        drawn = [one for one in result.comparisons if one.stage == _stage(rows[0])]
        comparison = drawn[0] if drawn else result.last
    bound = _bound(document, comparison)
    return _Drawn(result, rows[:most], len(rows[most:]), bound, comparison)


def _bound(document: AnyScan, comparison: StageResult | None) -> Bound | None:
    """The limit is one of the whole plan, so that nothing before its end is compared with it."""
    if comparison is None or comparison.stage == 2:
        told = f"limit, {decimal(document.limit, 2)} →"
        return Bound(document.limit, "limit", "beyond the ", told)
    if comparison.excluded is None:
        return None
    told = f"{decimal(comparison.excluded, 2, signed=True)} →"
    return Bound(comparison.excluded, "excluded", "excluded above ", told)


def _caption(document: AnyScan, shown: Sequence[_Drawn]) -> str:
    if isinstance(document, FormerScanDocument):
        return "Expected transfer under the plan"
    parts = {after(one.comparison) for one in shown if one.comparison}
    if len(parts) == 1:
        return f"Effect beside the references, after {parts.pop()}"
    return "Effect beside the references"


def _legend(shown: Sequence[_Drawn]) -> str:
    bounds = [one.bound for one in shown if one.bound]
    limit = next((f"limit, {decimal(one.value, 2)}" for one in bounds if one.style == "limit"), "")
    beyond = any(one.style == "excluded" for one in bounds)
    told = " or ".join(part for part in (limit, "excluded beyond" if beyond else "") if part)
    return "● estimate   ━ interval   ┆ zero" + (f"   ┃ {told}" if told else "")


def _stage(measurement: Measurement) -> int:
    return STAGES.index(measurement.name) if measurement.name in STAGES else 0


def _descending(measurement: Measurement) -> tuple[bool, float]:
    value = measurement.estimate
    known = value is not None and not math.isnan(value)
    return (not known, -(value or 0.0) if known else 0.0)


def _axis(shown: Sequence[_Drawn]) -> Axis:
    rows = [row for panel in shown for row in panel.rows]
    estimates = finite([row.estimate for row in rows])
    bounds = finite([panel.bound.value for panel in shown if panel.bound])
    reach = _REACH * max([*map(abs, bounds), *map(abs, estimates)], default=1.0)
    ends = finite([end for row in rows for end in (row.low, row.high)])
    kept = [min(max(end, -reach), reach) for end in ends]
    return linear_axis([0.0, *(1.5 * value for value in bounds), *estimates, *kept])


def _panel(drawn: _Drawn, axis: Axis, *, alone: bool) -> Panel:
    zero, bound = axis.at(0), drawn.bound
    nothing = "as its references" if drawn.comparison else "no transfer"
    pointers = [Pointer(zero, nothing if alone else "0", "none")] if zero > 4 else []
    if bound:
        opening, told = (bound.opening, bound.told) if alone else ("", f"{bound.style} →")
        style = "beyond" if bound.style == "limit" else bound.style
        pointers.append(Pointer(axis.at(bound.value), told, style, opening))
    labelled = (axis.ticks[0].at, axis.ticks[-1].at, zero)
    named = Name(subject_name(drawn.result.subject))
    trained = f" {after(drawn.comparison)}" if drawn.comparison else ""
    lanes = [_lane(row, axis, bound, alone) for row in drawn.rows]
    return Panel(
        lanes=(_leading(lanes[0], drawn), *lanes[1:]),
        ticks=tuple(tick for tick in axis.ticks if alone or tick.at in labelled),
        title="" if alone else (named, " ", verdict_badge(drawn.result.verdict), trained),
        pointers=tuple(pointers),
        unit="logits",
        left_out=drawn.left_out,
        rest=f"and {drawn.left_out} traits below these" if drawn.left_out else "",
    )


def _leading(lane: Lane, drawn: _Drawn) -> Lane:
    """The first lane, in the colour of the verdict where its measurement has none: a rank is over all traits."""
    judged = drawn.rows[0].verdict or (drawn.result.verdict if drawn.comparison else "none")
    (value,) = inlines(lane.value)
    return replace(lane, value=Strong(str(value)), style=f"{tone(judged)} lead-row")


def _lane(measurement: Measurement, axis: Axis, bound: Bound | None, alone: bool) -> Lane:
    at, low, high = (
        axis.at(value) if value is not None and math.isfinite(value) else None
        for value in (measurement.estimate, measurement.low, measurement.high)
    )
    zero = axis.at(0)
    marks = [*grid(axis), upright(zero, "zero")]
    strokes: list[tuple[float, float, str]] = []
    if bound:
        end = axis.at(bound.value)
        zone = "zone" if bound.style == "limit" else "beyond-it"
        marks = [band(end, 100, zone), *marks, upright(end, bound.style)]
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
    strokes.append((zero, zero, "┆┼"))
    if bound:
        strokes.append((axis.at(bound.value), axis.at(bound.value), "┃╋"))
    if at is not None:
        marks.append(dot(at, "estimate", 5 if alone else 4))
        strokes.append((at, at, "●"))
    return Lane(
        who=Name(measurement.trait or measurement.name or measurement.check),
        marks=tuple(marks),
        value=decimal(measurement.estimate, 2, signed=True),
        limits=interval(measurement.low, measurement.high, "logits") if bounded else "",
        style=tone(measurement.verdict or "none"),
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
