"""
A screen as SARIF 2.1.0, for code-scanning dashboards: one result a subject, never one a row.

Source of the shape: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from undertow import __version__
from undertow.checks.registry import registered
from undertow.report import scan_words
from undertow.report.check_page import CheckPage, pages_of
from undertow.report.sarif_objects import location, message, without_gaps
from undertow.report.scan_forest import in_order, transfer_checks, transfers
from undertow.report.visible import visible
from undertow.results.measurement import Measurement
from undertow.results.scan import ScanDocument, SubjectResult

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LONGEST_DESCRIPTION = 1024
"""Of `fullDescription`: what GitHub accepts."""

_LEVELS = {"flagged": "error", "undecided": "warning"}

Table = dict[str, Any]


def render_sarif(document: ScanDocument) -> str:
    """
    The document as a SARIF log with one run.

    A flagged subject is a result of level `error`, an undecided one a `warning`; evidence that was
    detected on a subject that is not clear is a `note`.
    """
    return sarif_log(
        _rules(document),
        list(_results(document)),
        {
            "invocations": [_invocation(document)],
            "artifacts": [_artifact(document)],
            "properties": _run_properties(document),
        },
    )


def sarif_log(rules: list[Table], results: list[Table], more: Table) -> str:
    """
    A log with one run of undertow: its rules, its results, and what else is said of the run.
    """
    places = {rule["id"]: index for index, rule in enumerate(rules)}
    run = {
        "tool": {"driver": {"name": "undertow", "version": __version__, "rules": rules}},
        "results": [found | {"ruleIndex": places[found["ruleId"]]} for found in results],
        "columnKind": "unicodeCodePoints",
        **more,
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(without_gaps(log), indent=2, allow_nan=False) + "\n"


def _rules(document: ScanDocument) -> list[Table]:
    ids = dict.fromkeys([_judge(document), *(run.check for run in document.checks)])
    return [rule_of(page) for page in pages_of(tuple(ids)).values()]


def _judge(document: ScanDocument) -> str:
    """
    The rule of verdicts: the check that judged transfer, or would have.
    """
    would = (check.id for check in registered("dataset").values() if check.kind == "transfer")
    return next(iter(transfer_checks(document)), None) or next(would)


def rule_of(page: CheckPage) -> Table:
    """
    A check as a rule.
    """
    summary = page.summary or f"the check '{page.id}' of a package that is not installed here"
    paragraphs = [summary, *page.introduction]
    helped = [*paragraphs, *(f"{name}. {page.section(name)}" for name, _ in page.sections)]
    helped.append(f"undertow explain {page.id}")
    return {
        "id": visible(page.id),
        "shortDescription": {"text": visible(summary)},
        "fullDescription": {"text": visible(" ".join(paragraphs))[:_LONGEST_DESCRIPTION]},
        "help": {"text": "\n\n".join(map(visible, helped))},
        "defaultConfiguration": {"level": "error" if page.kind == "transfer" else "note"},
        "properties": {"tags": ["subliminal-learning", page.kind]},
    }


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
    content = json.dumps([rule, document.data.path, subject.subject])
    return {
        "ruleId": visible(rule),
        "level": level,
        "message": message(told),
        "locations": [_location(document, subject)],
        "partialFingerprints": {
            "primaryLocationLineHash": hashlib.sha256(content.encode()).hexdigest()
        },
    }


def _location(document: ScanDocument, subject: SubjectResult) -> Table:
    # GitHub wants a region with all four fields; a verdict is on the whole file or source, not on a row.
    region = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
    physical = {
        "artifactLocation": {"uri": location(document.data.path), "index": 0},
        "region": region,
    }
    whole = subject.subject == "all"
    logical = None if whole else [{"name": visible(subject.subject), "kind": "source"}]
    return {"physicalLocation": physical, "logicalLocations": logical}


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
    notices = [_notice(f"{run.check}: {run.reason}", "error", run.check) for run in failed]
    notices += [_notice(f"{_said(one)} {one.reason}", "error") for one in broken]
    notices += [
        _notice(f"{run.check}: {run.reason}", "note", run.check)
        for run in document.checks
        if run.status == "skipped"
    ]
    return {
        "executionSuccessful": not failed and not broken and document.verdict != "error",
        "commandLine": visible(document.command),
        "toolExecutionNotifications": notices or None,
    }


def _notice(told: str, level: str, check: str | None = None) -> Table:
    rule = {"id": visible(check)} if check else None
    return {"level": level, "message": message(told), "associatedRule": rule}


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
