"""The figure of a screen: expected transfer of every trait with its interval, one panel a subject."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from undertow.report.figure import Lane, Lanes, Panel, Pointer
from undertow.report.page import Badge, Grid, Name, Phrase, Styled, Table
from undertow.report.plain_text import (
    decimal,
    finite,
    in_words,
    interval,
    percent,
    shortened,
    visible,
)
from undertow.report.svg import (
    Axis,
    Mark,
    across,
    band,
    dot,
    grid,
    linear_axis,
    scale,
    sign,
    strip,
    upright,
)
from undertow.results.measurement import SEVERITY, Measurement, Verdict
from undertow.results.scan_document import ALL, ScanDocument, SubjectResult

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


@dataclass(frozen=True)
class ForestRow:
    """One trait: positions in percent of the axis."""

    name: str
    verdict: Verdict | None
    at: float | None
    low: float | None
    high: float | None
    open_low: bool
    """Whether the interval goes on beyond the axis."""
    open_high: bool
    estimate: str
    limits: str


@dataclass(frozen=True)
class ForestPanel:
    """One subject: the traits that it pulls towards most."""

    result: SubjectResult
    rows: tuple[ForestRow, ...]
    left_out: int
    """Traits with smaller estimates, which are only in the table."""


@dataclass(frozen=True)
class Forest:
    """All panels over one axis, in logits."""

    axis: Axis
    zero: float
    limit: float
    """Positions of no transfer and of the limit, in percent of the axis."""
    panels: tuple[ForestPanel, ...]
    others: int
    """Subjects beyond the panels."""
    level: float | None
    """Of the intervals, if it is one for all."""


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
    return tuple(sorted(by_severity(subjects), key=lambda one: one.subject != ALL))


def forest(document: ScanDocument) -> Forest | None:
    """The figure; None where no transfer was measured."""
    all_rows = [(one, transfers(document, one.subject)) for one in in_order(document.subjects)]
    measured = [(one, rows) for one, rows in all_rows if rows]
    if not measured:
        return None
    most = ROWS_ALONE if len(measured) == 1 else ROWS_EACH
    shown = [(one, rows[:most], len(rows[most:])) for one, rows in measured[:PANELS]]
    axis = _axis([row for _, rows, _ in shown for row in rows], document.limit)
    levels = {row.level for _, rows, _ in shown for row in rows}
    return Forest(
        axis=axis,
        zero=axis.at(0),
        limit=axis.at(document.limit),
        panels=tuple(
            ForestPanel(one, tuple(_row(row, axis) for row in rows), left_out)
            for one, rows, left_out in shown
        ),
        others=len(measured) - len(shown),
        level=levels.pop() if len(levels) == 1 else None,
    )


def forest_lanes(figure: Forest, document: ScanDocument, numbers: Table) -> Lanes:
    """The figure as it is drawn."""
    alone = len(figure.panels) == 1
    level = "" if figure.level is None else f"; bars are {level_text(figure.level)} intervals"
    return Lanes(
        style="forest",
        caption="Expected transfer under the plan",
        unit=f"by trait, in logits{level}",
        panels=tuple(_panel(panel, figure, document, alone=alone) for panel in figure.panels),
        rest=f"{figure.others} more in the table below." if figure.others else "",
        numbers=numbers,
    )


def forest_bars(figure: Forest) -> Grid:
    """The figure in characters."""
    alone = len(figure.panels) == 1
    rows = [row for panel in figure.panels for row in _bars(panel, figure, alone=alone)]
    rows.append(
        tuple(map(Styled, ("", "", scale(figure.axis, _BAR), "", ""), ("", "", "about", "", "")))
    )
    return Grid(tuple(rows), right=frozenset({3}), whole=frozenset(range(5)))


def level_text(level: float) -> str:
    """A level in percent, with a decimal only where it needs one."""
    return percent(level, 1).replace(".0\N{NO-BREAK SPACE}", "\N{NO-BREAK SPACE}")


def subject_name(subject: str) -> str:
    """The subject in words."""
    return "the whole file" if subject == ALL else subject


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


def _row(measurement: Measurement, axis: Axis) -> ForestRow:
    at = finite([measurement.estimate])
    has_interval = measurement.low is not None or measurement.high is not None
    low, high = finite([measurement.low]), finite([measurement.high])
    return ForestRow(
        name=measurement.trait or measurement.name or measurement.check,
        verdict=measurement.verdict,
        at=axis.at(at[0]) if at else None,
        low=(axis.at(low[0]) if low else 0.0) if has_interval else None,
        high=(axis.at(high[0]) if high else 100.0) if has_interval else None,
        open_low=has_interval and (not low or low[0] < axis.low),
        open_high=has_interval and (not high or high[0] > axis.high),
        estimate=decimal(measurement.estimate, 2, signed=True),
        limits=interval(measurement.low, measurement.high, "logits") if has_interval else "",
    )


def _panel(panel: ForestPanel, figure: Forest, document: ScanDocument, *, alone: bool) -> Panel:
    verdict = panel.result.verdict
    badge = Badge(in_words(verdict), verdict)
    title: Phrase = "" if alone else (Name(subject_name(panel.result.subject)), " ", badge)
    zero = (
        [Pointer(figure.zero, "no transfer" if alone else "0", "none")] if figure.zero > 4 else []
    )
    limit = f"limit, {decimal(document.limit, 2)} →" if alone else "limit →"
    ends = (figure.axis.ticks[0].at, figure.axis.ticks[-1].at, figure.zero)
    return Panel(
        lanes=tuple(_lane(row, figure, alone, lead=row is panel.rows[0]) for row in panel.rows),
        ticks=tuple(tick for tick in figure.axis.ticks if alone or tick.at in ends),
        title=title,
        pointers=(*zero, Pointer(figure.limit, limit, "beyond", "beyond the " if alone else "")),
        unit="logits",
        rest=f"and {panel.left_out} traits below these" if panel.left_out else "",
    )


def _lane(row: ForestRow, figure: Forest, alone: bool, *, lead: bool) -> Lane:
    marks: list[Mark] = [
        band(figure.limit, 100, "zone"),
        *grid(figure.axis),
        upright(figure.zero, "zero"),
        upright(figure.limit, "limit"),
    ]
    if row.low is not None and row.high is not None:
        marks.append(across(row.low, row.high))
    marks += [sign("◂", 0, -2)] if row.open_low else []
    marks += [sign("▸", 100, -8)] if row.open_high else []
    marks += [] if row.at is None else [dot(row.at, "estimate", 5 if alone else 4)]
    style = f"{row.verdict or 'none'}{' lead-row' if lead else ''}"
    return Lane(Name(row.name), tuple(marks), row.estimate, row.limits, style)


def _bars(panel: ForestPanel, figure: Forest, *, alone: bool) -> list[tuple[Styled, ...]]:
    shown = panel.rows[: _TRAITS_ALONE if alone else _TRAITS_EACH]
    rows: list[tuple[Styled, ...]] = [
        (
            Styled(_cut("" if alone or place else subject_name(panel.result.subject), 20)),
            Styled(_cut(row.name, 12)),
            Styled(_bar(row, figure), row.verdict or ""),
            Styled(row.estimate, "" if place else "strong"),
            Styled(row.limits),
        )
        for place, row in enumerate(shown)
    ]
    rest = len(panel.rows) - len(shown) + panel.left_out
    if alone and rest:
        told = (Styled(f"{rest} more", "about"), Styled("below these", "about"))
        rows.append((Styled(""), *told, Styled(""), Styled("")))
    return rows


def _cut(name: str, most: int) -> str:
    return shortened(visible(name), most)


def _bar(row: ForestRow, figure: Forest) -> str:
    strokes: list[tuple[float, float, str]] = []
    if row.low is not None and row.high is not None:
        strokes.append((row.low, row.high, "━"))
        strokes += [(row.low, row.low, "◂")] if row.open_low else []
        strokes += [(row.high, row.high, "▸")] if row.open_high else []
    strokes += [(figure.zero, figure.zero, "┆┼"), (figure.limit, figure.limit, "┃╋")]
    strokes += [] if row.at is None else [(row.at, row.at, "●")]
    return strip(_BAR, strokes)
