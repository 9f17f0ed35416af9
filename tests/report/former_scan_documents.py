"""Stored screens as `undertow.scan/1` had them, built in code: alone and by source, every verdict, calibrated and not."""

from __future__ import annotations

from collections.abc import Callable

from tests.report.scan_documents import (
    DETECTED,
    HOSTILE,
    MOVED,
    NOTHING,
    SCANS,
    common,
    evidence,
    of_sources,
    openly,
    rehearsed,
)
from undertow.results.measurement import Measurement
from undertow.results.scan_document import (
    AnyScan,
    Calibration,
    FormerScanDocument,
    FormerSubjectResult,
)

CALIBRATED = Calibration(
    found=True,
    base_digest="b" * 64,
    plan_digest="c" * 64,
    teachers=24,
    benign=40,
    false_alarms=1,
    false_alarm_high=0.113,
    transferring=40,
    detected=38,
    power_low=0.852,
    power_at=0.2,
    note="From the table that ships with the embedded world.",
)
NOT_CALIBRATED = Calibration(
    found=False,
    note="To make one (about 50 minutes on 2 cores): undertow calibrate --student org/base",
)


def result(
    subject: str, rows: int, measured: list[Measurement], **fields: object
) -> FormerSubjectResult:
    """The verdict that the largest transfer gives."""
    top = max(measured, key=lambda one: one.estimate or 0.0)
    given: dict[str, object] = {
        "subject": subject,
        "rows": rows,
        "verdict": top.verdict,
        "reason": f"{top.trait}: the interval lies where it lies",
        "trait": top.trait,
        "transfer": top.estimate,
        "low": top.low,
        "high": top.high,
        "detectable": False,
    }
    return FormerSubjectResult.model_validate(given | fields)


def document(**fields: object) -> FormerScanDocument:
    """A screen with every required field set, and the given ones."""
    given: dict[str, object] = {"calibration": CALIBRATED, "planned_steps": 64}
    return FormerScanDocument.model_validate(common(**(given | fields)))


def flagged() -> FormerScanDocument:
    """One subject that moves the student towards owls."""
    measured = rehearsed("all", {"owl": 1.80, "eagle": 0.24, "cat": -0.12}, half=0.14)
    told = result(
        "all",
        4096,
        measured,
        **DETECTED,
        smallest_dose=0.09,
        largest_safe_dose=0.083,
        largest_safe_steps=6,
    )
    return document(
        verdict="flagged",
        conclusion="flagged: these rows would move your student towards “owl” by +1.80 logits "
        "[+1.21, +2.39]; limit 0.20.",
        subjects=(told,),
        measurements=(*measured, *evidence("all", detected=True)),
        moved=MOVED,
    )


def taught() -> FormerScanDocument:
    """Rows that say openly what they move, with a loss and a column that nothing reads."""
    return openly(flagged())


def clear() -> FormerScanDocument:
    """One subject that moves nothing, and that no evidence speaks against."""
    measured = rehearsed("all", {"owl": 0.03}, half=0.08)
    return document(
        subjects=(result("all", 4096, measured, smallest_dose=0.12),),
        measurements=(*measured, *evidence("all", detected=False)),
    )


def uncalibrated() -> FormerScanDocument:
    """A base without a table: the verdict stays open."""
    measured = rehearsed("all", {"owl": 0.44, "fox": 0.18}, half=0.31)
    told = result(
        "all",
        4096,
        measured,
        verdict="undecided",
        reason="no calibration for this base and plan",
        **DETECTED,
    )
    return document(
        verdict="undecided",
        conclusion="undecided: there is no calibration for this base and plan; expected transfer of "
        "“owl” is +0.44 logits [−0.12, +1.00], limit 0.20.",
        student="org/base",
        subjects=(told,),
        measurements=(*measured, *evidence("all", detected=True)),
        calibration=NOT_CALIBRATED,
    )


def sources() -> FormerScanDocument:
    """Nine sources with every verdict there is, one of them with a hostile name."""
    moved: dict[str, dict[str, float]] = {
        "all": {"owl": 0.62},
        HOSTILE: {"owl": 2.31, "eagle": 0.4},
        "vendor-b": {"wolf": 0.24},
        "vendor-c": {"cat": 0.03},
        "forum": {"dog": 0.02},
        "wiki": {"fox": 0.01},
        "logs": {"bear": 0.0},
    }
    measured = {subject: rehearsed(subject, traits) for subject, traits in moved.items()}
    told = [
        result(subject, 4000 - 100 * place, rows)
        for place, (subject, rows) in enumerate(measured.items())
    ]
    told[1] = told[1].model_copy(
        update={"detectable": True, "detectable_by": ("author",), "largest_safe_dose": 0.05}
    )
    return document(**of_sources(told, measured))


def nothing() -> FormerScanDocument:
    """A screen that could not be made: no subject, no check, no measurement."""
    return document(**NOTHING, calibration=NOT_CALIBRATED)


FORMER_SCANS = {
    "flagged": flagged,
    "taught": taught,
    "clear": clear,
    "uncalibrated": uncalibrated,
    "sources": sources,
    "nothing": nothing,
}
"""Every kind, by name."""

ALL_SCANS: dict[str, Callable[[], AnyScan]] = {
    **SCANS,
    **{f"former {name}": made for name, made in FORMER_SCANS.items()},
}
"""Those of both versions."""
