"""A screen in words: transfer, advice, error rates and calibration, for every format."""

from __future__ import annotations

from collections.abc import Sequence

from undertow.data.file_sample import Data, Excluded
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
from undertow.report.scan_forest import by_severity, in_order, level_text, subject_name, transfers
from undertow.report.sections import Column, table_of
from undertow.results.measurement import Measurement, Verdict
from undertow.results.scan_document import Calibration, CheckRun, Moved, ScanDocument, SubjectResult

NO_ROW_VERDICTS = (
    "No row gets a verdict of its own. In data that carry a trait covertly a single row tells almost "
    "nothing: a classifier trained on labelled rows reaches an AUROC of 0.57 a row in the published "
    "work and 0.60 in undertow’s own lab, where 0.50 is a coin. The pull is in all rows together, so "
    "the verdict is on the file and on its sources."
)

DETECTABLE_IS_NOT_DANGEROUS = (
    "Detectable rows are not the clean base’s own, as far as evidence shows; that alone moves nothing. "
    "Transfer is what the planned training would do to your student. The verdict is on transfer."
)

SCAN_GLOSSARY = {
    "student": "The model that is going to be trained on the rows; its base is what screens them.",
    "plan": "The training that is planned: adapter, optimiser, steps. Transfer is that of this plan.",
    "trait": "What a model prefers, e.g. “owl” among animals.",
    "teacher": "A model that wrote rows, and whose trait a student of the same initialisation may "
    "pick up.",
    "transfer": "How far the trait’s logit margin would move under the plan, against the control, in "
    "logits.",
    "logit margin": "Logit of the trait’s answer minus logsumexp of the others’ plus the "
    "logarithm of their number: 0 at chance.",
    "limit": "The transfer that is still accepted. A verdict compares the whole interval with it.",
    "control": "Rows known to be clean: given, or the student base’s own continuations of the same "
    "prompts.",
    "evidence": "A number in a check’s own unit that says whether the rows differ from the control; "
    "it never judges transfer.",
    "dose": "Share of the rows that come from the trait’s teacher.",
    "calibration": "What this screen did on datasets of this base and plan whose effect is known: "
    "benign ones, and ones that moved a student.",
    "open search": "Probes and tokens that moved most in the trial runs, though nobody asked for "
    "them; p counts all that were looked at.",
}
"""The words of a screen's report."""


def headline(document: ScanDocument) -> SubjectResult | None:
    """The most severe subject, of which the page's first lines speak."""
    return next(iter(by_severity(document.subjects)), None)


def transfer(result: SubjectResult) -> str:
    """Expected transfer with its interval and the trait, e.g. `+1.80 [+1.20, +2.40] owl`."""
    if result.transfer is None:
        return NOTHING
    limits = ""
    if result.low is not None or result.high is not None:
        limits = f" {interval(result.low, result.high, 'logits')}"
    trait = f" {result.trait}" if result.trait else ""
    return f"{decimal(result.transfer, 2, signed=True)}{limits}{trait}"


def detectable(result: SubjectResult) -> str:
    """Whether evidence speaks against the rows being the clean base's own, and which."""
    if result.detectable is None:
        return NOTHING
    by = f": {', '.join(result.detectable_by)}" if result.detectable_by else ""
    return f"yes{by}" if result.detectable else "no"


def advice(result: SubjectResult, document: ScanDocument) -> str:
    """How much of these rows, or of the plan, stays under the limit."""
    ways = []
    if result.largest_safe_dose is not None:
        ways.append(f"at most {percent(result.largest_safe_dose)} of a clean mixture")
    if result.largest_safe_steps is not None:
        steps = f"{whole(result.largest_safe_steps)} of {whole(document.planned_steps)} steps"
        ways.append(f"at most {steps}")
    return " or ".join(ways) or NOTHING


def conclusion(document: ScanDocument) -> str:
    """The conclusion without the verdict's own name before it, which stands beside it."""
    text = document.conclusion
    return capital(text.removeprefix(f"{in_words(document.verdict)}: "))


def error_rates(document: ScanDocument) -> dict[Verdict, str]:
    """What each verdict on transfer means, with level, sidedness and correction."""
    level = level_text(document.level)
    limit = f"{decimal(document.limit, 2)} logits"
    count = len(document.traits)
    traits = "1 trait" if count == 1 else f"{count} traits"
    return {
        "flagged": f"some trait’s interval lies above {limit}; one-sided {level} after correction "
        f"for {traits}",
        "clear": f"every trait’s interval lies below {limit}; one-sided {level}, "
        "intersection-union, no correction",
        "undecided": "neither",
    }


OTHER_TOKENS = (
    "These rates are of students that learnt completions alone. The rows here learn other tokens too, for which they "
    "were not measured: nothing is cleared."
)


def calibration(document: ScanDocument) -> tuple[str, ...]:
    """How often this screen is wrong on this base under this plan, as far as it was measured."""
    table = document.calibration
    if not table.found:
        note = table.note or f"make one: undertow calibrate --student {document.student}"
        return (
            "No calibration table for this base and plan. How often this screen raises a false alarm "
            "here is not known, so its verdicts stay undecided.",
            note,
        )
    other = OTHER_TOKENS if table.other_loss else ""
    return tuple(sentence for sentence in (other, *_rates(table), table.note) if sentence)


def _rates(table: Calibration) -> tuple[str, ...]:
    side = f"one-sided {level_text(table.level)}"
    alarms = f"False alarms: {table.false_alarms} of {table.benign} benign datasets were flagged"
    if table.false_alarm_high is not None:
        alarms += f" (rate at most {percent(table.false_alarm_high)}, {side})"
    seen = f"Power: {table.detected} of {table.transferring} datasets"
    if table.power_at is not None:
        seen += f" whose student moved by at least {decimal(table.power_at, 2)} logits"
    seen += " were flagged"
    if table.power_low is not None:
        seen += f" (power at least {percent(table.power_low)}, {side})"
    return f"{alarms}.", f"{seen}.", f"{table.teachers} independently trained teachers."


def seen_from(document: ScanDocument) -> str:
    """
    The smallest dose of a trait teacher's rows that would have been seen, for each subject that has one.
    """
    doses = [
        f"{percent(one.smallest_dose)} of {subject_name(one.subject)}"
        for one in document.subjects
        if one.smallest_dose is not None
    ]
    if not doses:
        return ""
    return (
        "The smallest dose of a calibrated trait teacher’s rows that would have been seen, with 80 % "
        f"power: {'; '.join(doses)}."
    )


def answers(document: ScanDocument) -> tuple[tuple[str, str, str], ...]:
    """
    The reader's first questions about the most severe subject: question, short answer, remark.
    """
    result = headline(document)
    if result is None:
        return ()
    table, trust, power = document.calibration, "no: false-alarm rate unknown", ""
    if table.found:
        how = "for completions" if table.other_loss else "yes"
        trust = f"{how}: {table.false_alarms} of {table.benign} benign datasets flagged"
        power = f"and {table.detected} of {table.transferring} that move a student"
    rows = f"{whole(result.rows)} rows: {subject_name(result.subject)}"
    plan = f"{whole(document.planned_steps)} planned steps, limit {decimal(document.limit, 2)}"
    asked = (
        ("How far would it move the student?", transfer(result), f"logits; {plan}; {rows}"),
        ("Are the rows the clean base’s own?", _own(result), _by(result)),
        ("How much of it is safe?", advice(result, document), ""),
        ("Is this screen calibrated here?", trust, power),
    )
    return tuple(entry for entry in asked if entry[1] != NOTHING)


def _own(result: SubjectResult) -> str:
    if result.detectable is None:
        return NOTHING
    return "no, detectably not" if result.detectable else "nothing speaks against it"


def _by(result: SubjectResult) -> str:
    by = f"by {', '.join(result.detectable_by)}; " if result.detectable_by else ""
    return f"{by}says nothing about transfer"


def search(document: ScanDocument) -> str:
    """What the open search is, or why it found nothing."""
    if document.moved:
        return (
            "What else moved in the trial runs, though no trait asked for it; p is corrected for all "
            "that was looked at."
        )
    if any(run.kind == "transfer" and run.status == "done" for run in document.checks):
        return "Nothing beyond the traits that were probed was found to move."
    return "No trial run was made, so nothing was searched."


def subjects_table(document: ScanDocument) -> Table:
    """The verdict on every subject, the whole file first."""
    return table_of(
        "Verdicts",
        in_order(document.subjects),
        [
            Column("subject", lambda one: subject_name(one.subject), False),
            Column("verdict", lambda one: in_words(one.verdict), False),
            Column("expected transfer, logits", transfer, False),
            Column("detectable", detectable, False),
            Column("rows", lambda one: whole(one.rows)),
            Column("say it", lambda one: whole(one.openly.rows) if one.openly else NOTHING),
            Column("seen from dose", lambda one: percent(one.smallest_dose)),
            Column("advice", lambda one: advice(one, document), False),
            Column("why", lambda one: plain(one.reason), False),
        ],
    )


def transfers_table(document: ScanDocument) -> Table:
    """Expected transfer of every trait on every subject, in logits: the numbers of the figure."""
    measured_traits = [
        (result.subject, entry)
        for result in in_order(document.subjects)
        for entry in transfers(document, result.subject)
    ]
    return table_of(
        "Expected transfer",
        measured_traits,
        [
            Column("subject", lambda pair: subject_name(pair[0]), False),
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
