"""A screen in words: transfer, advice, error rates and calibration, for every format."""

from __future__ import annotations

from undertow.report.plain_text import NOTHING, capital, decimal, in_words, interval, percent, whole
from undertow.report.scan_forest import by_severity, level_text, subject_name
from undertow.results.measurement import Verdict
from undertow.results.scan_document import Calibration, ScanDocument, SubjectResult

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
    return tuple(sentence for sentence in (*_rates(table), table.note) if sentence)


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
        trust = f"yes: {table.false_alarms} of {table.benign} benign datasets flagged"
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
