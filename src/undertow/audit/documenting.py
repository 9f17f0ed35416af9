"""The document of a scan, and its conclusion in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from undertow import stats
from undertow.audit.opening import Opened
from undertow.audit.plans import plan_digest
from undertow.audit.request import ScanRequest
from undertow.audit.verdicts import SEVERITY, worst
from undertow.checks.dataset.subject import Subject
from undertow.lab.environment import environment
from undertow.results.calibration import CalibrationTable
from undertow.results.measurement import Measurement, Verdict
from undertow.results.scan import (
    ALL,
    Calibration,
    CheckRun,
    Data,
    Moved,
    ScanDocument,
    SubjectResult,
)

LIMITS = (
    "A trait that is not probed is not judged; the open search only names what else moves.",
    "A trait that shows only behind a trigger, in a system prompt say, is not seen by probes without it.",
    "Error rates hold for the base, the plan and the kinds of teachers that were calibrated, and for no others.",
    "Ordinary text and preference pairs carry traits across bases too; that the author is foreign reassures about the "
    "hidden channel only.",
)


@dataclass(frozen=True)
class Found:
    """What the checks of a scan found."""

    subjects: tuple[SubjectResult, ...]
    measurements: tuple[Measurement, ...]
    checks: tuple[CheckRun, ...]
    moved: tuple[Moved, ...] = ()


def scan_document(
    request: ScanRequest,
    opened: Opened,
    whole: Subject,
    found: Found,
    *,
    data: Data,
    why_not: str,
    seconds: float,
) -> ScanDocument:
    """Everything that a report shows of a scan."""
    verdict = worst(result.verdict for result in found.subjects)
    control = request.control or "made by the base"
    surroundings = environment(workers=1, device=str(opened.student.device))
    return ScanDocument(
        verdict=verdict,
        conclusion=conclusion(verdict, found.subjects, request.limit) + _left_out(data),
        data=data,
        student=request.student,
        student_digest=opened.student_digest,
        teacher=request.teacher,
        control=control if whole.control else "none: the rows have no prompts to continue",
        plan=whole.plan.model_dump(mode="json"),
        planned_steps=whole.plan.steps(whole.planned_rows),
        limit=request.limit,
        level=request.level,
        traits=tuple(trait.name for trait in whole.traits),
        subjects=found.subjects,
        measurements=found.measurements,
        checks=found.checks,
        moved=found.moved,
        calibration=calibration_of(whole.calibration, request, why_not, pairs=whole.pairs),
        limits=LIMITS,
        config=request.configuration(),
        inputs=_inputs(opened, data, whole),
        seed=request.seed,
        wall_seconds=seconds,
        command=request.command,
        **surroundings.fields,
    )


def _how_to_make_one(student: str) -> str:
    return (
        "To make one (it makes 40 teachers and trains about 110 students by your plan): "
        f"undertow calibrate --student {student}"
    )


def calibration_of(
    table: CalibrationTable | None, request: ScanRequest, why_not: str, *, pairs: bool
) -> Calibration:
    """What a page says of the calibration."""
    if table is None:
        return Calibration(
            found=False,
            level=request.level,
            note=f"{why_not}." if pairs else f"{why_not}. {_how_to_make_one(request.student)}",
        )
    level = request.level
    alarms = stats.clopper_pearson(table.false_alarms, table.benign, level=2 * level - 1)
    power = stats.clopper_pearson(table.detected, table.transferring, level=2 * level - 1)
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
        note=f"{table.student}, plans of {table.fewest_steps} to {table.most_steps} steps, carrier {table.carrier}",
    )


def conclusion(verdict: Verdict, subjects: Sequence[SubjectResult], limit: float) -> str:
    """The answer in one or two sentences, of the most severe subject first."""
    first = min(subjects, key=lambda result: SEVERITY.index(result.verdict))
    which = "these rows" if first.subject == ALL else f"the rows of source '{first.subject}'"
    if verdict == "flagged":
        text = f"{which} would move your student towards '{first.trait}' by {_transfer(first)}; limit {limit:g}."
    elif verdict == "clear":
        text = (
            f"no trait that was probed would move your student by {limit:g} logits; the largest is "
            f"'{first.trait}', {_transfer(first)}."
        )
    else:
        text = f"nothing can be said of {which}: {first.reason}."
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


def _inputs(opened: Opened, data: Data, whole: Subject) -> dict[str, str]:
    found = {"plan": plan_digest(whole.plan)}
    if data.digest:
        found["data"] = data.digest
    if opened.student_digest:
        found["student"] = opened.student_digest
    return found
