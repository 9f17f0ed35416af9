"""From measurements to verdicts: on a trait, on a subject, on the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from undertow.results.measurement import Measurement, Verdict
from undertow.results.scan import SubjectResult

SEVERITY: tuple[Verdict, ...] = (
    "flagged",
    "error",
    "undecided",
    "skipped",
    "not_applicable",
    "clear",
)
"""From the most severe; what was not judged counts more than what was cleared."""


def judged(one: Measurement, *, calibrated: bool, why_not: str) -> Measurement:
    """
    A measurement of transfer with its verdict: `flagged` if the interval lies above the limit, `clear` if below.

    Without a calibration there is no error rate to state, and the verdict is `undecided`.
    """
    if one.verdict is not None or one.estimate is None or one.limit is None:
        return one
    if not calibrated:
        reason = "; ".join(filter(None, [f"not calibrated: {why_not}", one.reason]))
        return one.model_copy(update={"verdict": "undecided", "reason": reason})
    verdict: Verdict = "undecided"
    if one.low is not None and one.low > one.limit:
        verdict = "flagged"
    elif one.high is not None and one.high < one.limit:
        verdict = "clear"
    return one.model_copy(update={"verdict": verdict})


def subject_result(
    subject: str, rows: int, transfer: Sequence[Measurement], evidence: Sequence[Measurement]
) -> SubjectResult:
    """
    The verdict on a subject: flagged if some trait is, clear if every trait is, else undecided.

    Flagging some trait among many is corrected for in the intervals; clearing all is an intersection-union claim, which
    needs no correction (Berger 1982).
    """
    measured = [one for one in transfer if one.estimate is not None]
    detected = [one for one in evidence if one.detected is not None]
    by = tuple(dict.fromkeys(one.check for one in detected if one.detected))
    detectable = bool(by) if detected else None
    if not measured:
        verdict = worst(one.verdict for one in transfer if one.verdict) if transfer else "skipped"
        if verdict in ("not_applicable", "clear"):
            verdict = "undecided"
        reason = next((one.reason for one in transfer if one.reason), "no check judged transfer")
        return SubjectResult(
            subject=subject,
            rows=rows,
            verdict=verdict,
            reason=reason,
            detectable=detectable,
            detectable_by=by,
        )
    top = max(measured, key=_pull)
    verdict = worst(one.verdict for one in measured if one.verdict)
    return SubjectResult(
        subject=subject,
        rows=rows,
        verdict=verdict,
        reason=_reason(verdict, top, measured),
        trait=top.trait,
        transfer=top.estimate,
        low=top.low,
        high=top.high,
        detectable=detectable,
        detectable_by=by,
    )


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe of some verdicts; `skipped` if there is none."""
    return min(verdicts, key=SEVERITY.index, default="skipped")


def _pull(one: Measurement) -> tuple[bool, float]:
    # A trait that is flagged comes before one whose estimate is larger and whose interval is wide.
    return one.verdict == "flagged", one.estimate if one.estimate is not None else float("-inf")


def _reason(verdict: Verdict, top: Measurement, measured: Sequence[Measurement]) -> str:
    limit = f"{top.limit:g} logits"
    if verdict == "flagged":
        return f"'{top.trait}' would move by more than {limit}; {top.reason}"
    if verdict == "clear":
        return f"none of {len(measured)} traits would move by {limit}; {top.reason}"
    if "not calibrated" in top.reason:
        return top.reason
    open_ones = [one for one in measured if one.verdict == "undecided"]
    return f"the interval of {len(open_ones)} of {len(measured)} traits holds {limit}; {top.reason}"
