"""The findings of a screen: one a subject, never one a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from undertow.checks.registry import registered
from undertow.report.check_page import failures, rules_of
from undertow.report.page import Finding, FindingLog, Notice
from undertow.report.plain_text import in_words, visible
from undertow.report.scan_forest import (
    after,
    in_order,
    subject_name,
    transfer_checks,
    transfers,
)
from undertow.report.scan_words import Grounds, transfer
from undertow.results.measurement import Measurement
from undertow.results.scan_document import (
    WHOLE,
    AnyScan,
    AnySubjectResult,
    FormerSubjectResult,
    OpenMeaning,
    StageResult,
)

_LEVELS = {"flagged": "error", "stands out": "error", "undecided": "warning"}


def scan_findings(document: AnyScan, grounds: Grounds) -> FindingLog:
    """
    What a reviewer is told.

    A subject that is flagged or stands out is an `error`, an undecided one a `warning`; evidence that was detected on a
    subject that is not clear is a `note`.
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
    return FindingLog(
        rules=rules_of(_judge(document), document.checks),
        results=tuple(_results(document)),
        properties={
            "schema": document.schema_,
            "verdict": document.verdict,
            "student": visible(document.student),
            "rowsDigest": document.data.digest,
            "seed": document.seed,
            **grounds.properties,
        },
        command=document.command,
        notices=tuple(notices),
        succeeded=not failures(document.checks) and not broken and document.verdict != "error",
        file=document.data.path,
    )


def _judge(document: AnyScan, result: AnySubjectResult | None = None) -> str:
    """The rule of verdicts: the check that judged transfer (of the subject, if one is given), or would have."""
    measured = transfers(document, result.subject) if result else ()
    if measured:
        return measured[0].check
    would = (check.id for check in registered("dataset").values() if check.kind == "transfer")
    return next(iter(transfer_checks(document)), None) or next(would)


def _results(document: AnyScan) -> Iterator[Finding]:
    for result in in_order(document.subjects):
        if result.verdict in _LEVELS:
            told = f"{_told(result)} {result.reason}".strip()
            rule, level = _judge(document, result), _LEVELS[result.verdict]
            yield _finding(document, result, rule, level, told, _properties(result, document))
        if result.verdict != "clear":
            yield from _detections(document, result)


def _told(result: AnySubjectResult) -> str:
    told = f"{in_words(result.verdict)}: {subject_name(result.subject)}"
    if result.transfer is None:
        return f"{told}."
    if isinstance(result, FormerSubjectResult):
        return f"{told}: expected transfer {transfer(result)}, in logits."
    where = f" after {after(result.last)}" if result.last else ""
    return f"{told}: effect {transfer(result)}{where}, in logits."


def _detections(document: AnyScan, result: AnySubjectResult) -> Iterator[Finding]:
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
    document: AnyScan,
    result: AnySubjectResult,
    rule: str,
    level: str,
    told: str,
    properties: Mapping[str, object],
) -> Finding:
    path, source = document.data.path, None if result.subject in WHOLE else result.subject
    return Finding(rule, level, told, path, (path, result.subject), source, properties)


def _properties(result: AnySubjectResult, document: AnyScan) -> dict[str, object]:
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
        "largestSafeDose": result.largest_safe_dose,
        "largestSafeSteps": result.largest_safe_steps,
        **_grounds(result),
        "openMeaning": [_open(meaning) for meaning in result.open_meaning],
        "traits": {visible(each.trait): each.estimate for each in traits if each.trait},
    }


def _grounds(result: AnySubjectResult) -> dict[str, object]:
    """What only one version of the document has."""
    if isinstance(result, FormerSubjectResult):
        return {"smallestDose": result.smallest_dose}
    stages = [_stage(stage) for stage in result.comparisons]
    return {
        "doseOfEstimate": result.dose_of_estimate,
        "doseOfLowerEnd": result.dose_of_lower_end,
        "stages": stages,
    }


def _stage(stage: StageResult) -> dict[str, object]:
    return {
        "stage": stage.stage,
        "verdict": stage.verdict,
        "told": visible(stage.reason),
        "steps": stage.steps,
        "plannedSteps": stage.planned_steps,
        "rows": stage.rows,
        "adapters": stage.adapters,
        "references": stage.references,
        "cached": stage.cached,
        "needed": stage.needed,
        "kinds": {visible(kind): count for kind, count in stage.kinds.items()},
        "p": stage.p,
        "adjusted": stage.adjusted,
        "alpha": stage.alpha,
        "guaranteed": stage.guaranteed,
        "excluded": stage.excluded,
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
