"""Every table of a screen, once, for all formats."""

from __future__ import annotations

from collections.abc import Sequence

from undertow.report import numbers
from undertow.report.scan_forest import in_order, transfers
from undertow.report.scan_words import (
    VERDICTS,
    advice,
    detectable,
    level_text,
    subject_name,
    transfer,
)
from undertow.report.table import Column, Table, table_of
from undertow.results.measurement import Measurement
from undertow.results.scan import CheckRun, Data, Excluded, Moved, ScanDocument


def subjects_table(document: ScanDocument) -> Table:
    """The verdict on every subject, the whole file first."""
    return table_of(
        "Verdicts",
        in_order(document.subjects),
        [
            Column("subject", lambda one: subject_name(one.subject), False),
            Column("verdict", lambda one: VERDICTS[one.verdict], False),
            Column("expected transfer, logits", transfer, False),
            Column("detectable", detectable, False),
            Column("rows", lambda one: numbers.whole(one.rows)),
            Column("seen from dose", lambda one: numbers.percent(one.smallest_dose)),
            Column("advice", lambda one: advice(one, document), False),
            Column("why", lambda one: numbers.plain(one.reason), False),
        ],
    )


def transfers_table(document: ScanDocument) -> Table:
    """Expected transfer of every trait on every subject, in logits: the numbers of the figure."""
    found = [
        (result.subject, one)
        for result in in_order(document.subjects)
        for one in transfers(document, result.subject)
    ]
    return table_of(
        "Expected transfer",
        found,
        [
            Column("subject", lambda pair: subject_name(pair[0]), False),
            Column("trait", lambda pair: numbers.plain(pair[1].trait or pair[1].name), False),
            Column("logits", lambda pair: numbers.decimal(pair[1].estimate, 2, signed=True)),
            Column("interval", lambda pair: limits(pair[1])),
            Column("level", lambda pair: _level(pair[1])),
            Column("rests on", lambda pair: numbers.plain(pair[1].n), False),
            Column("p", lambda pair: numbers.p_value(pair[1].p)),
            Column("verdict", lambda pair: _verdict(pair[1]), False),
            Column("check", lambda pair: pair[1].check, False),
        ],
    )


def evidence_table(measurements: Sequence[Measurement]) -> Table:
    """What one check of kind evidence measured, in its own units."""
    return table_of(
        "Evidence",
        measurements,
        [
            Column("subject", lambda one: subject_name(one.subject), False),
            Column("what", lambda one: _what(one), False),
            Column("speaks against", lambda one: _detected(one), False),
            Column("estimate", lambda one: measured(one.estimate, one.unit)),
            Column("unit", lambda one: _unit(one), False),
            Column("interval", limits),
            Column("rests on", lambda one: numbers.plain(one.n), False),
            Column("p", lambda one: numbers.p_value(one.p)),
            Column("compared with", lambda one: measured(one.limit, one.unit)),
            Column("why", lambda one: numbers.plain(one.reason), False),
        ],
    )


def details_table(measurements: Sequence[Measurement]) -> Table:
    """The further numbers of a check, under the names that its page explains."""
    found = [(one, key, value) for one in measurements for key, value in one.details.items()]
    return table_of(
        "Further numbers",
        found,
        [
            Column("subject", lambda entry: subject_name(entry[0].subject), False),
            Column("what", lambda entry: _what(entry[0]), False),
            Column("name", lambda entry: entry[1], False),
            Column("value", lambda entry: _detail(entry[2])),
        ],
    )


def moved_table(moved: Sequence[Moved]) -> Table:
    """What the open search found to move, the smallest p first."""
    return table_of(
        "Open search",
        sorted(moved, key=lambda one: one.p),
        [
            Column("subject", lambda one: subject_name(one.subject), False),
            Column("what", lambda one: one.what, False),
            Column("name", lambda one: numbers.plain(one.name), False),
            Column("estimate", lambda one: measured(one.estimate, one.unit, signed=True)),
            Column("unit", lambda one: numbers.plain(one.unit), False),
            Column("p, corrected", lambda one: numbers.p_value(one.p)),
        ],
    )


def excluded_table(excluded: Sequence[Excluded]) -> Table:
    """Rows that could not be used, by reason, with the first places."""
    return table_of(
        "Rows left out",
        excluded,
        [
            Column("reason", lambda one: one.reason, False),
            Column("rows", lambda one: numbers.whole(one.rows)),
            Column("first of them", lambda one: numbers.plain("; ".join(one.places)), False),
        ],
    )


def sources_table(data: Data) -> Table:
    """Usable rows of every source, the largest first."""
    ordered = sorted(data.sources.items(), key=lambda entry: -entry[1])
    rows = tuple((source, numbers.whole(count)) for source, count in ordered)
    return Table("Sources", ("source", "rows"), rows, frozenset({1}))


def checks_table(checks: Sequence[CheckRun]) -> Table:
    """The checks as they were run."""
    return table_of(
        "Checks",
        checks,
        [
            Column("check", lambda one: one.check, False),
            Column("kind", lambda one: one.kind, False),
            Column("status", lambda one: one.status.replace("_", " "), False),
            Column("rows", lambda one: numbers.whole(one.rows)),
            Column("time", lambda one: numbers.duration(one.seconds)),
            Column("why", lambda one: numbers.plain(one.reason), False),
        ],
    )


def measured(value: float | None, unit: str, *, signed: bool = False) -> str:
    """A number of evidence: shares in percent, all others with three significant digits."""
    if value is None:
        return numbers.NOTHING
    if numbers.shown_in_percent(unit):
        return numbers.percent(value)
    shown = numbers.significant(value, 3)
    return f"+{shown}" if signed and value > 0 else shown


def limits(one: Measurement) -> str:
    """The interval of a measurement in its unit; an open end is infinite."""
    if one.low is None and one.high is None:
        return numbers.NOTHING
    if one.unit == "logits":
        return numbers.interval(one.low, one.high, one.unit)
    low = "−∞" if one.low is None else measured(one.low, one.unit)
    high = "∞" if one.high is None else measured(one.high, one.unit)
    return f"[{low}, {high}]"


def _level(one: Measurement) -> str:
    return numbers.NOTHING if one.level is None else level_text(one.level)


def _what(one: Measurement) -> str:
    return numbers.plain(", ".join(part for part in (one.name, one.trait) if part))


def _unit(one: Measurement) -> str:
    if one.estimate is None or numbers.is_share(one.unit):
        return numbers.NOTHING
    return numbers.plain(one.unit)


def _detected(one: Measurement) -> str:
    if one.detected is None:
        return _verdict(one)
    return "yes" if one.detected else "no"


def _verdict(one: Measurement) -> str:
    return VERDICTS[one.verdict] if one.verdict else numbers.NOTHING


def _detail(value: float | int | str) -> str:
    if isinstance(value, str):
        return numbers.plain(value)
    return numbers.significant(value, 4) if isinstance(value, float) else numbers.whole(value)
