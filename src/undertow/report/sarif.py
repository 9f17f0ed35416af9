"""
A screen as SARIF 2.1.0, for code-scanning dashboards: one result a subject, never one a row.

Source of the shape: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from undertow.checks.registry import registered
from undertow.report import scan_words
from undertow.report.sarif_log import Table, notice, result_of, rules_of, sarif_log
from undertow.report.sarif_objects import location
from undertow.report.scan_forest import in_order, transfer_checks, transfers
from undertow.report.visible import visible
from undertow.results.measurement import Measurement
from undertow.results.scan import ALL, ScanDocument, SubjectResult

_LEVELS = {"flagged": "error", "undecided": "warning"}


def render_sarif(document: ScanDocument) -> str:
    """
    The document as a SARIF log with one run.

    A flagged subject is a result of level `error`, an undecided one a `warning`; evidence that was
    detected on a subject that is not clear is a `note`.
    """
    return sarif_log(
        rules_of(_judge(document), document.checks),
        list(_results(document)),
        {
            "invocations": [_invocation(document)],
            "artifacts": [_artifact(document)],
            "properties": _run_properties(document),
        },
    )


def _judge(document: ScanDocument) -> str:
    """The rule of verdicts: the check that judged transfer, or would have."""
    would = (check.id for check in registered("dataset").values() if check.kind == "transfer")
    return next(iter(transfer_checks(document)), None) or next(would)


def _results(document: ScanDocument) -> Iterator[Table]:
    judge = _judge(document)
    for one in in_order(document.subjects):
        if one.verdict == "clear":
            continue
        if one.verdict in _LEVELS:
            told = f"{_said(one)} {one.reason}".strip()
            yield _result(document, one, judge, _LEVELS[one.verdict], told) | {
                "properties": _properties(one, document)
            }
        yield from _notes(document, one)


def _said(one: SubjectResult) -> str:
    of = scan_words.subject_name(one.subject)
    verdict = scan_words.VERDICTS[one.verdict]
    if one.transfer is None:
        return f"{verdict}: {of}."
    return f"{verdict}: {of}: expected transfer {scan_words.transfer(one)}, in logits."


def _notes(document: ScanDocument, subject: SubjectResult) -> Iterator[Table]:
    judges = transfer_checks(document)
    by_check: dict[str, list[Measurement]] = {run.check: [] for run in document.checks}
    for one in document.measurements:
        if one.subject == subject.subject and one.detected and one.check not in judges:
            by_check.setdefault(one.check, []).append(one)
    for check, found in by_check.items():
        if found and any(run.check == check for run in document.checks):
            yield _result(document, subject, check, "note", _detected(subject, found)) | {
                "properties": {"detected": [_number(one) for one in found]}
            }


def _detected(subject: SubjectResult, found: Sequence[Measurement]) -> str:
    of = scan_words.subject_name(subject.subject)
    told = "; ".join(
        ": ".join(part for part in (one.name, one.reason) if part) or "detected" for one in found
    )
    return f"detectable: {of}: {told}. This says nothing about transfer."


def _result(
    document: ScanDocument, subject: SubjectResult, rule: str, level: str, told: str
) -> Table:
    path, whole = document.data.path, subject.subject == ALL
    source = None if whole else [{"name": visible(subject.subject), "kind": "source"}]
    return result_of(
        rule, level, told, path, (path, subject.subject), artifact=0, logical_locations=source
    )


def _properties(one: SubjectResult, document: ScanDocument) -> Table:
    found = transfers(document, one.subject)
    return {
        "verdict": one.verdict,
        "rows": one.rows,
        "trait": one.trait and visible(one.trait),
        "transfer": one.transfer,
        "low": one.low,
        "high": one.high,
        "unit": "logits",
        "limit": document.limit,
        "level": document.level,
        "detectable": one.detectable,
        "detectableBy": list(one.detectable_by),
        "smallestDose": one.smallest_dose,
        "largestSafeDose": one.largest_safe_dose,
        "largestSafeSteps": one.largest_safe_steps,
        "traits": {visible(each.trait): each.estimate for each in found if each.trait},
    }


def _number(one: Measurement) -> Table:
    return {
        "name": visible(one.name) or None,
        "trait": one.trait and visible(one.trait),
        "estimate": one.estimate,
        "low": one.low,
        "high": one.high,
        "unit": visible(one.unit),
        "p": one.p,
        "limit": one.limit,
    }


def _invocation(document: ScanDocument) -> Table:
    failed = [run for run in document.checks if run.status == "error"]
    broken = [one for one in document.subjects if one.verdict == "error"]
    notices = [notice(f"{run.check}: {run.reason}", "error", run.check) for run in failed]
    notices += [notice(f"{_said(one)} {one.reason}", "error") for one in broken]
    notices += [
        notice(f"{run.check}: {run.reason}", "note", run.check)
        for run in document.checks
        if run.status == "skipped"
    ]
    return {
        "executionSuccessful": not failed and not broken and document.verdict != "error",
        "commandLine": visible(document.command),
        "toolExecutionNotifications": notices or None,
    }


def _artifact(document: ScanDocument) -> Table:
    digest = document.data.digest
    return {
        "location": {"uri": location(document.data.path)},
        "hashes": {"sha-256": digest} if digest else None,
    }


def _run_properties(document: ScanDocument) -> Table:
    table = document.calibration
    return {
        "schema": document.schema_,
        "verdict": document.verdict,
        "student": visible(document.student),
        "seed": document.seed,
        "calibrated": table.found,
        "falseAlarms": table.false_alarms if table.found else None,
        "benign": table.benign if table.found else None,
        "falseAlarmHigh": table.false_alarm_high,
        "powerLow": table.power_low,
    }
