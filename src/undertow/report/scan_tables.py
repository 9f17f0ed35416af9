"""The tables of a screen: subjects, numbers of the figure, evidence, the open search, rows left out, checks."""

from __future__ import annotations

from collections.abc import Sequence

from undertow.data.file_sample import Data
from undertow.data.row_faults import Excluded
from undertow.report.page import Table
from undertow.report.plain_text import (
    NOTHING,
    capital,
    decimal,
    duration,
    in_words,
    interval,
    is_share,
    p_value,
    percent,
    plain,
    shown_in_percent,
    significant,
    whole,
)
from undertow.report.scan_forest import (
    STAGES,
    after,
    in_order,
    level_text,
    stages,
    subject_name,
)
from undertow.report.scan_stages import p_of
from undertow.report.scan_words import Grounds, advice, detectable, transfer
from undertow.report.sections import Column, table_of
from undertow.results.measurement import Measurement
from undertow.results.scan_document import (
    AnyScan,
    AnySubjectResult,
    CheckRun,
    FormerSubjectResult,
    Moved,
)


def subjects_table(document: AnyScan, grounds: Grounds) -> Table:
    """The verdict on every subject, the whole file first."""
    return table_of(
        "Verdicts",
        in_order(document.subjects),
        [
            Column("subject", lambda one: subject_name(one.subject), False),
            Column("verdict", lambda one: in_words(one.verdict), False),
            Column(f"{grounds.quantity}, logits", transfer, False),
            Column("judged by", judged_by, False),
            Column("detectable", detectable, False),
            Column("rows", lambda one: whole(one.rows)),
            Column("say it", lambda one: whole(one.openly.rows) if one.openly else NOTHING),
            Column("seen from dose", _dose),
            Column("advice", lambda one: advice(one, document), False),
            Column("why", lambda one: plain(one.reason), False),
        ],
    )


def transfers_table(document: AnyScan, grounds: Grounds) -> Table:
    """What moved every trait on every subject in every stage, in logits: the numbers of the figure."""
    measured_traits = [
        (result.subject, entry)
        for result in in_order(document.subjects)
        for entry in stages(document, result.subject)
    ]
    return table_of(
        capital(grounds.quantity),
        measured_traits,
        [
            Column("subject", lambda pair: subject_name(pair[0]), False),
            Column("stage", lambda pair: _stage(pair[1]), False),
            Column("trait", lambda pair: plain(pair[1].trait or pair[1].name), False),
            Column("logits", lambda pair: decimal(pair[1].estimate, 2, signed=True)),
            Column("interval", lambda pair: limits(pair[1])),
            Column("level", lambda pair: _level(pair[1])),
            Column("rests on", lambda pair: plain(pair[1].n), False),
            Column("p", lambda pair: p_value(pair[1].p)),
            Column("verdict", lambda pair: _verdict(pair[1]), False),
            Column("check", lambda pair: pair[1].check, False),
        ],
    )


def openly_table(document: AnyScan) -> Table:
    """Of every subject and trait that is not clear, the rows that say or ask it."""
    return table_of(
        "Rows that say a trait’s words or ask a probe’s question",
        [
            (result, meaning)
            for result in in_order(document.subjects)
            for meaning in result.open_meaning
        ],
        [
            Column("subject", lambda pair: subject_name(pair[0].subject), False),
            Column("trait", lambda pair: plain(pair[1].trait), False),
            Column("of rows", lambda pair: whole(pair[0].rows)),
            Column("say or ask it", lambda pair: whole(pair[1].rows)),
            Column("say it in what is learnt", lambda pair: whole(pair[1].learnt)),
            Column("say it in the prompt", lambda pair: whole(pair[1].prompt)),
            Column("ask it", lambda pair: whole(pair[1].asked)),
        ],
    )


def judged_by(result: AnySubjectResult) -> str:
    """How much was trained for the verdict beside how many references, and the p that counts."""
    if isinstance(result, FormerSubjectResult) or result.last is None:
        return NOTHING
    return f"{after(result.last)}, {whole(result.last.references)} references{p_of(result.last)}"


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
            Column("rests on", lambda one: plain(one.n), False),
            Column("p", lambda one: p_value(one.p)),
            Column("compared with", lambda one: measured(one.limit, one.unit)),
            Column("why", lambda one: plain(one.reason), False),
        ],
    )


def details_table(measurements: Sequence[Measurement]) -> Table:
    """The further numbers of a check, under the names that its page explains."""
    details = [(entry, *pair) for entry in measurements for pair in entry.details.items()]
    return table_of(
        "Further numbers",
        details,
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
            Column("name", lambda one: plain(one.name), False),
            Column("estimate", lambda one: measured(one.estimate, one.unit, signed=True)),
            Column("unit", lambda one: plain(one.unit), False),
            Column("p, corrected", lambda one: p_value(one.p)),
        ],
    )


def excluded_table(excluded: Sequence[Excluded]) -> Table:
    """Rows that could not be used, by reason, with the first places."""
    return table_of(
        "Rows left out",
        excluded,
        [
            Column("reason", lambda one: one.reason, False),
            Column("rows", lambda one: whole(one.rows)),
            Column("first of them", lambda one: plain("; ".join(one.places)), False),
        ],
    )


def sources_table(data: Data) -> Table:
    """Usable rows of every source, the largest first."""
    ordered = sorted(data.sources.items(), key=lambda entry: -entry[1])
    rows = tuple((source, whole(count)) for source, count in ordered)
    return Table("Sources", ("source", "rows"), rows, frozenset({1}))


def checks_table(checks: Sequence[CheckRun]) -> Table:
    """The checks as they were run."""
    return table_of(
        "Checks",
        checks,
        [
            Column("check", lambda one: one.check, False),
            Column("kind", lambda one: one.kind, False),
            Column("status", lambda one: in_words(one.status), False),
            Column("rows", lambda one: whole(one.rows)),
            Column("time", lambda one: duration(one.seconds)),
            Column("why", lambda one: plain(one.reason), False),
        ],
    )


def measured(value: float | None, unit: str, *, signed: bool = False) -> str:
    """A number of evidence: shares in percent, all others with three significant digits."""
    if value is None:
        return NOTHING
    if shown_in_percent(unit):
        return percent(value)
    shown = significant(value, 3)
    return f"+{shown}" if signed and value > 0 else shown


def limits(measurement: Measurement) -> str:
    """The interval of a measurement in its unit; an open end is infinite."""
    if measurement.low is None and measurement.high is None:
        return NOTHING
    if measurement.unit == "logits":
        return interval(measurement.low, measurement.high, measurement.unit)
    low = "−∞" if measurement.low is None else measured(measurement.low, measurement.unit)
    high = "∞" if measurement.high is None else measured(measurement.high, measurement.unit)
    return f"[{low}, {high}]"


def _dose(result: AnySubjectResult) -> str:
    return percent(result.smallest_dose) if isinstance(result, FormerSubjectResult) else NOTHING


def _stage(measurement: Measurement) -> str:
    return measurement.name.removeprefix("stage ") if measurement.name in STAGES else NOTHING


def _level(measurement: Measurement) -> str:
    return NOTHING if measurement.level is None else level_text(measurement.level)


def _what(measurement: Measurement) -> str:
    return plain(", ".join(part for part in (measurement.name, measurement.trait) if part))


def _unit(measurement: Measurement) -> str:
    if measurement.estimate is None or is_share(measurement.unit):
        return NOTHING
    return plain(measurement.unit)


def _detected(measurement: Measurement) -> str:
    if measurement.detected is None:
        return _verdict(measurement)
    return "yes" if measurement.detected else "no"


def _verdict(measurement: Measurement) -> str:
    return in_words(measurement.verdict) if measurement.verdict else NOTHING


def _detail(value: float | int | str) -> str:
    if isinstance(value, str):
        return plain(value)
    return significant(value, 4) if isinstance(value, float) else whole(value)
