"""What a verdict of `undertow.scan/1` rested on: a table that was calibrated on datasets whose effect was known."""

from __future__ import annotations

from undertow.report.page import Listing, Section
from undertow.report.plain_text import decimal, percent
from undertow.report.scan_forest import level_text, subject_name
from undertow.report.scan_words import (
    Grounds,
)
from undertow.results.measurement import Verdict
from undertow.results.scan_document import Calibration, FormerScanDocument

OTHER_TOKENS = (
    "These rates are of students that learnt completions alone. The rows here learn other tokens too, for which they "
    "were not measured: nothing is cleared."
)

FORMER = "This is a scan/1: a table said how far the whole plan would go. Scans are now judged beside references, and use other words."


def calibration_grounds(document: FormerScanDocument) -> Grounds:
    """What is told of the table, or of its absence."""
    table, known = document.calibration, calibration(document)
    tone = "" if table.found else "undecided"
    seen = seen_from(document)
    rates = "; ".join(f"{name}: {told}" for name, told in error_rates(document).items())
    return Grounds(
        quantity="expected transfer",
        meanings=error_rates(document),
        beside=(seen,) if seen else (),
        sections=(
            Section(
                "calibration",
                "Can this screen be trusted here?",
                (Listing((*known, FORMER), "prose", tone),),
                nav="Calibration",
                prose=True,
            ),
        ),
        brief=(),
        labels=(
            *((("power", seen),) if seen else ()),
            *((("error rates", rates),) if document.subjects else ()),
            ("calibration", " ".join(known)),
        ),
        glossary={
            "calibration": "What this screen did on datasets of this base and plan whose effect is known: "
            "benign ones, and ones that moved a student.",
        },
        properties={
            "calibrated": table.found,
            "falseAlarms": table.false_alarms if table.found else None,
            "benign": table.benign if table.found else None,
            "falseAlarmHigh": table.false_alarm_high,
            "powerLow": table.power_low,
        },
    )


def error_rates(document: FormerScanDocument) -> dict[Verdict, str]:
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


def calibration(document: FormerScanDocument) -> tuple[str, ...]:
    """How often this screen was wrong on this base under this plan, as far as it was measured."""
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


def seen_from(document: FormerScanDocument) -> str:
    """The smallest dose of a trait teacher's rows that would have been seen, for each subject that has one."""
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
