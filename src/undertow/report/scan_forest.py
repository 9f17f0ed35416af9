"""
The figure of a screen: expected transfer of every trait with its interval, one panel a source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from undertow.report.axis import Axis, linear_axis
from undertow.report.numbers import decimal, finite, interval
from undertow.results.measurement import Measurement, Verdict
from undertow.results.scan import ALL, ScanDocument, SubjectResult

PANELS = 6
ROWS_ALONE = 16
ROWS_EACH = 6
"""Most panels, and most traits in a panel: alone, or beside others."""

_SEVERITY: tuple[Verdict, ...] = (
    "flagged",
    "error",
    "undecided",
    "skipped",
    "not_applicable",
    "clear",
)
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
    found = [
        one
        for one in document.measurements
        if one.subject == subject and one.check in judging and one.estimate is not None
    ]
    return tuple(sorted(found, key=_descending))


def by_severity(subjects: Sequence[SubjectResult]) -> tuple[SubjectResult, ...]:
    """The subjects, the most severe first; of equal ones that with the largest transfer."""
    return tuple(
        sorted(subjects, key=lambda one: (_SEVERITY.index(one.verdict), -(one.transfer or 0.0)))
    )


def in_order(subjects: Sequence[SubjectResult]) -> tuple[SubjectResult, ...]:
    """The whole file, then its sources, the most severe first."""
    return tuple(sorted(by_severity(subjects), key=lambda one: one.subject != ALL))


def forest(document: ScanDocument) -> Forest | None:
    """The figure; None where no transfer was measured."""
    found = [(one, transfers(document, one.subject)) for one in in_order(document.subjects)]
    measured = [(one, rows) for one, rows in found if rows]
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


def _descending(one: Measurement) -> tuple[bool, float]:
    value = one.estimate
    known = value is not None and not math.isnan(value)
    return (not known, -(value or 0.0) if known else 0.0)


def _axis(rows: Sequence[Measurement], limit: float) -> Axis:
    estimates = finite([row.estimate for row in rows])
    reach = _REACH * max([abs(limit), *map(abs, estimates)])
    ends = finite([end for row in rows for end in (row.low, row.high)])
    kept = [min(max(end, -reach), reach) for end in ends]
    return linear_axis([0.0, 1.5 * limit, *estimates, *kept])


def _row(one: Measurement, axis: Axis) -> ForestRow:
    at = finite([one.estimate])
    has_interval = one.low is not None or one.high is not None
    low, high = finite([one.low]), finite([one.high])
    return ForestRow(
        name=one.trait or one.name or one.check,
        verdict=one.verdict,
        at=axis.at(at[0]) if at else None,
        low=(axis.at(low[0]) if low else 0.0) if has_interval else None,
        high=(axis.at(high[0]) if high else 100.0) if has_interval else None,
        open_low=has_interval and (not low or low[0] < axis.low),
        open_high=has_interval and (not high or high[0] > axis.high),
        estimate=decimal(one.estimate, 2, signed=True),
        limits=interval(one.low, one.high, "logits") if has_interval else "",
    )
