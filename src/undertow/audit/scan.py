"""`undertow scan`: would training on a dataset move a student?"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from undertow.audit.calibrations import cache_folder
from undertow.audit.check_runs import Ran, finished_checks, merged, run_check
from undertow.audit.open_meaning import open_meanings
from undertow.audit.open_search import search
from undertow.audit.requests import Progress, ScanRequest, ignored_keys
from undertow.audit.scan_inputs import ScanInputs, open_inputs
from undertow.audit.verdicts import (
    covered,
    judged,
    largest_safe_dose,
    largest_safe_steps,
    smallest_dose,
    subject_result,
)
from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.checks.registry import Registered, chosen_checks
from undertow.data.file_sample import Data
from undertow.data.finished import Finished
from undertow.data.plan import plan_digest, plan_notes
from undertow.errors import UndertowError
from undertow.results.measurement import SEVERITY, Measurement, Verdict, environment, worst
from undertow.results.scan_document import (
    ALL,
    ASSISTANT,
    Calibration,
    Moved,
    ScanDocument,
    SubjectResult,
)
from undertow.stats.interval import clopper_pearson

logger = logging.getLogger(__name__)

LIMITS = (
    "A trait that is not probed is not judged; the open search only names what else moves.",
    "A trait that shows only behind a trigger, in a system prompt say, is not seen by probes without it.",
    "Error rates hold for the base, the plan and the kinds of teachers that were calibrated, and for no others.",
    "Ordinary text and preference pairs carry traits across bases too; that the author is foreign reassures about the "
    "hidden channel only.",
)


@dataclass(frozen=True)
class SubjectAudit:
    """What the checks of one subject measured, judged, and the verdict on it."""

    result: SubjectResult
    ran: tuple[Ran, ...]

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """Of all checks, in their order."""
        return tuple(measurement for ran in self.ran for measurement in ran.measurements)


def scan(request: ScanRequest, progress: Progress = lambda doing: None) -> ScanDocument:
    """
    Open what is scanned, run the checks on the whole and on each source, judge, and document.

    Raises:
        InputError: data, a model or the plan cannot be used.
        NothingLeftError: no row is left that the student could be trained on.
    """
    started = time.perf_counter()
    checks = chosen_checks("dataset", request.checks)
    inputs = open_inputs(request, progress)
    finished = finished_checks(cache_folder() / "scans" / _key(request, inputs))
    audits = [_audit(inputs.whole, checks, finished, progress)]
    # What a model wrote is what it is, whatever is learnt of it: evidence is the same.
    judging = [check for check in checks if check.kind == "transfer"]
    if inputs.otherwise is not None and judging:
        audits.append(_audit(inputs.otherwise, judging, finished, progress))
    audits += [_audit(subject, checks, finished, progress) for subject in inputs.sources]
    if inputs.usable < request.min_usable:
        audits = [_of_a_part(audit, inputs) for audit in audits]
    moved = () if request.checks else _searched(inputs.whole, progress)
    document = _document(request, inputs, audits, moved, time.perf_counter() - started)
    finished.clear()
    return document


def _key(request: ScanRequest, inputs: ScanInputs) -> str:
    """Names what an interrupted scan kept: the same data, student and settings find it again."""
    known = [inputs.data.digest, inputs.student_digest, repr(replace(request, command=""))]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]


def _audit(
    subject: ScanSubject, checks: Sequence[Registered], finished: Finished[Ran], progress: Progress
) -> SubjectAudit:
    ran = []
    for check in checks:
        progress(f"{check.id} on {'the whole' if subject.name == ALL else subject.name}")
        ran.append(_judged(subject, run_check(subject, check, finished)))
    return SubjectAudit(_result(subject, ran), tuple(ran))


def _of_a_part(audit: SubjectAudit, inputs: ScanInputs) -> SubjectAudit:
    """What a verdict is worth where too much was not read."""
    rows = round(inputs.data.rows / inputs.read)
    lost = rows - round(rows * inputs.usable)
    return replace(audit, result=covered(audit.result, lost=lost, rows=rows, way=inputs.way))


def _judged(subject: ScanSubject, ran: Ran) -> Ran:
    """The same with a verdict on each measurement of transfer; evidence is left as it is."""
    if ran.run.kind != "transfer":
        return ran
    calibrated = subject.coverage.table is not None
    why_not = subject.coverage.why_not
    measurements = tuple(
        judged(
            measurement,
            calibrated=calibrated,
            why_not=why_not,
            other_loss=subject.coverage.other_loss,
        )
        for measurement in ran.measurements
    )
    return ran.model_copy(update={"measurements": measurements})


def _result(subject: ScanSubject, ran: Sequence[Ran]) -> SubjectResult:
    transfer, evidence = (
        [m for check in ran if check.run.kind == kind for m in check.measurements]
        for kind in ("transfer", "evidence")
    )
    result = subject_result(subject.name, len(subject.rows), transfer, evidence)
    table = subject.coverage.table
    advised: dict[str, object] = {
        "smallest_dose": smallest_dose(table, subject.planned_rows),
        "open_meaning": open_meanings(subject, transfer),
    }
    if result.verdict != "clear" and table is not None:
        planned = subject.plan.steps(subject.planned_rows)
        advised |= {
            "largest_safe_dose": largest_safe_dose(transfer, table),
            "largest_safe_steps": largest_safe_steps(transfer, planned),
        }
    return result.model_copy(update=advised)


def _searched(whole: ScanSubject, progress: Progress) -> tuple[Moved, ...]:
    progress("searching what else moves")
    try:
        return search(whole)
    except UndertowError:
        logger.exception("open search")
        return ()


def _document(
    request: ScanRequest,
    inputs: ScanInputs,
    audits: Sequence[SubjectAudit],
    moved: tuple[Moved, ...],
    seconds: float,
) -> ScanDocument:
    """Everything that a report shows of a scan."""
    whole, results = inputs.whole, tuple(audit.result for audit in audits)
    verdict = worst(result.verdict for result in results)
    return ScanDocument(
        verdict=verdict,
        conclusion=conclusion(verdict, results, request.limit) + _left_out(inputs.data),
        data=inputs.data,
        student=request.student,
        student_digest=inputs.student_digest,
        teacher=request.teacher,
        control=inputs.control,
        plan=whole.plan.model_dump(mode="json"),
        planned_steps=whole.plan.steps(whole.planned_rows),
        loss=inputs.loss,
        limit=request.limit,
        level=request.level,
        traits=tuple(trait.name for trait in whole.traits),
        subjects=results,
        measurements=tuple(m for audit in audits for m in audit.measurements),
        checks=merged([ran.run for audit in audits for ran in audit.ran]),
        moved=moved,
        calibration=_calibration(whole),
        limits=(*LIMITS, *plan_notes(whole.plan), *request.plan_notes),
        config=_configuration(request),
        inputs=_digests(inputs),
        seed=request.seed,
        wall_seconds=seconds,
        command=request.command,
        **environment(workers=1, device=str(whole.student.device)).fields,
    )


def _configuration(request: ScanRequest) -> dict[str, object]:
    """What is stored of the request beside the named fields of the document."""
    return {
        "checks": list(request.checks),
        "max_rows": request.max_rows,
        "system_prompt": request.system_prompt,
        "temperature": request.temperature,
        "acceptance": request.acceptance,
        "beta": request.beta,
        "min_usable": request.min_usable,
        "candidates": list(request.candidates),
        "placebos": list(request.placebos),
        **ignored_keys(request),
    }


def _digests(inputs: ScanInputs) -> dict[str, str]:
    digests = {
        "plan": plan_digest(inputs.whole.plan),
        "data": inputs.data.digest,
        "student": inputs.student_digest,
    }
    return {name: digest for name, digest in digests.items() if digest}


def conclusion(verdict: Verdict, subjects: Sequence[SubjectResult], limit: float) -> str:
    """The answer in one or two sentences, of the most severe subject first."""
    first = min(subjects, key=lambda result: SEVERITY.index(result.verdict))
    named = {ALL: "these rows", ASSISTANT: "these rows, with a loss on what the assistant says,"}
    which = named.get(first.subject, f"the rows of source '{first.subject}'")
    if verdict == "flagged":
        text = f"{which} would move your student towards '{first.trait}' by {_transfer(first)}; limit {limit:g}."
    elif verdict == "clear":
        text = (
            f"no trait that was probed would move your student by {limit:g} logits; the largest is "
            f"'{first.trait}', {_transfer(first)}."
        )
    else:
        text = f"nothing can be said of {which}: {first.reason}."
    if first.openly is not None:
        text += f" {first.openly.sentence}"
    seen = next((result for result in subjects if result.subject == ALL), first)
    if seen.detectable and verdict != "flagged":
        text += f" They are not what your clean base would write ({', '.join(seen.detectable_by)}); that alone moves nothing."
    return f"{verdict}: {text}"


def _left_out(data: Data) -> str:
    """What a verdict does not cover; a file could otherwise be cleared by what nobody read."""
    count = sum(excluded.rows for excluded in data.excluded)
    if not count:
        return ""
    reasons = ", ".join(excluded.reason for excluded in data.excluded)
    rows, them = ("row", "it") if count == 1 else ("rows", "them")
    return f" {count} {rows} could not be used ({reasons}): nothing is said of {them}."


def _transfer(result: SubjectResult) -> str:
    low = "-∞" if result.low is None else f"{result.low:+.2f}"
    high = "∞" if result.high is None else f"{result.high:+.2f}"
    return f"{result.transfer or 0:+.2f} logits [{low}, {high}]"


def _calibration(whole: ScanSubject) -> Calibration:
    """What a page says of the calibration."""
    table, why_not, level = whole.coverage.table, whole.coverage.why_not, whole.settings.level
    if table is None:
        return Calibration(
            found=False,
            level=level,
            note=f"{why_not}."
            if whole.pairs
            else f"{why_not}. {_how_to_make_one(whole.student.ref)}",
        )
    alarms = clopper_pearson(table.false_alarms, table.benign, level=2 * level - 1)
    power = clopper_pearson(table.detected, table.transferring, level=2 * level - 1)
    return Calibration(
        found=True,
        base_digest=table.base_digest,
        plan_digest=table.plan_digest,
        teachers=table.teachers,
        benign=table.benign,
        false_alarms=table.false_alarms,
        false_alarm_high=alarms.high,
        transferring=table.transferring,
        detected=table.detected,
        power_low=power.low,
        power_at=table.power_at,
        level=level,
        other_loss=whole.coverage.other_loss,
        note=f"{table.student}, plans of {table.fewest_steps} to {table.most_steps} steps, carrier {table.carrier}",
    )


def _how_to_make_one(student: str) -> str:
    return (
        "To make one (it makes 40 teachers and trains about 110 students by your plan): "
        f"undertow calibrate --student {student}"
    )
