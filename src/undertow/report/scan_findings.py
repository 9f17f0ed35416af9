"""The findings of a screen: one a subject, never one a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from undertow.checks.registry import registered
from undertow.report.check_page import failures, rules_of
from undertow.report.page import Finding, FindingLog, Notice
from undertow.report.plain_text import in_words, visible
from undertow.report.scan_forest import in_order, subject_name, transfer_checks, transfers
from undertow.report.scan_words import transfer
from undertow.results.measurement import Measurement
from undertow.results.scan_document import WHOLE, OpenMeaning, ScanDocument, SubjectResult

_LEVELS = {"flagged": "error", "undecided": "warning"}


def scan_findings(document: ScanDocument) -> FindingLog:
    """
    What a reviewer is told.

    A flagged subject is an `error`, an undecided one a `warning`; evidence that was detected on a subject that is not
    clear is a `note`.
    """
    broken = [one for one in document.subjects if one.verdict == "error"]
    notices = [
        *failures(document.checks),
        *(Notice(f"{_told(one)} {one.reason}", "error") for one in broken),
        *(
            Notice(f"{run.check}: {run.reason}", "note", run.check)
            for run in document.checks
            if run.status == "skipped"
        ),
    ]
    table = document.calibration
    return FindingLog(
        rules=rules_of(_judge(document), document.checks),
        results=tuple(_results(document)),
        properties={
            "schema": document.schema_,
            "verdict": document.verdict,
            "student": visible(document.student),
            "rowsDigest": document.data.digest,
            "seed": document.seed,
            "calibrated": table.found,
            "falseAlarms": table.false_alarms if table.found else None,
            "benign": table.benign if table.found else None,
            "falseAlarmHigh": table.false_alarm_high,
            "powerLow": table.power_low,
        },
        command=document.command,
        notices=tuple(notices),
        succeeded=not failures(document.checks) and not broken and document.verdict != "error",
        file=document.data.path,
    )


def _judge(document: ScanDocument) -> str:
    """The rule of verdicts: the check that judged transfer, or would have."""
    would = (check.id for check in registered("dataset").values() if check.kind == "transfer")
    return next(iter(transfer_checks(document)), None) or next(would)


def _results(document: ScanDocument) -> Iterator[Finding]:
    for result in in_order(document.subjects):
        if result.verdict in _LEVELS:
            told = f"{_told(result)} {result.reason}".strip()
            rule, level = _judge(document), _LEVELS[result.verdict]
            yield _finding(document, result, rule, level, told, _properties(result, document))
        if result.verdict != "clear":
            yield from _detections(document, result)


def _told(result: SubjectResult) -> str:
    told = f"{in_words(result.verdict)}: {subject_name(result.subject)}"
    if result.transfer is None:
        return f"{told}."
    return f"{told}: expected transfer {transfer(result)}, in logits."


def _detections(document: ScanDocument, result: SubjectResult) -> Iterator[Finding]:
    judges = transfer_checks(document)
    for check in dict.fromkeys(run.check for run in document.checks):
        against = [
            measurement
            for measurement in document.measurements
            if measurement.subject == result.subject
            and measurement.detected
            and measurement.check == check
        ]
        if against and check not in judges:
            told = "; ".join(
                ": ".join(part for part in (measurement.name, measurement.reason) if part)
                or "detected"
                for measurement in against
            )
            told = f"detectable: {subject_name(result.subject)}: {told}. This says nothing about transfer."
            numbers = {"detected": [_number(measurement) for measurement in against]}
            yield _finding(document, result, check, "note", told, numbers)


def _finding(
    document: ScanDocument,
    result: SubjectResult,
    rule: str,
    level: str,
    told: str,
    properties: Mapping[str, object],
) -> Finding:
    path, source = document.data.path, None if result.subject in WHOLE else result.subject
    return Finding(rule, level, told, path, (path, result.subject), source, properties)


def _properties(result: SubjectResult, document: ScanDocument) -> dict[str, object]:
    traits = transfers(document, result.subject)
    return {
        "verdict": result.verdict,
        "rows": result.rows,
        "trait": result.trait and visible(result.trait),
        "transfer": result.transfer,
        "low": result.low,
        "high": result.high,
        "unit": "logits",
        "limit": document.limit,
        "level": document.level,
        "detectable": result.detectable,
        "detectableBy": list(result.detectable_by),
        "smallestDose": result.smallest_dose,
        "largestSafeDose": result.largest_safe_dose,
        "largestSafeSteps": result.largest_safe_steps,
        "openMeaning": [_open(meaning) for meaning in result.open_meaning],
        "traits": {visible(each.trait): each.estimate for each in traits if each.trait},
    }


def _open(meaning: OpenMeaning) -> dict[str, object]:
    counts = meaning.model_dump(include={"rows", "learnt", "prompt", "asked"})
    return {"trait": visible(meaning.trait), **counts, "told": visible(meaning.sentence)}


def _number(measurement: Measurement) -> dict[str, object]:
    return {
        "name": visible(measurement.name) or None,
        "trait": measurement.trait and visible(measurement.trait),
        "estimate": measurement.estimate,
        "low": measurement.low,
        "high": measurement.high,
        "unit": visible(measurement.unit),
        "p": measurement.p,
        "limit": measurement.limit,
    }
