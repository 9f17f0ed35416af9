"""From measurements to verdicts: on a trait, on a subject, on the whole; and how much of a flagged dataset, or of the plan on it, stays under the limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from undertow.results.measurement import Measurement, Verdict, worst
from undertow.results.model_documents import CalibrationTable
from undertow.results.scan_document import SubjectResult

OTHER_LOSS = (
    "the table's students learnt completions alone and these rows learn other tokens too, so that nothing can be "
    "cleared; the plan's loss says what your trainer does"
)


def judged(
    measured: Measurement, *, calibrated: bool, why_not: str, other_loss: bool = False
) -> Measurement:
    """
    A measurement of transfer with its verdict: `flagged` if the interval lies above the limit, `clear` if below.

    Without a calibration there is no error rate to state, and the verdict is `undecided`. With one of students that
    learnt other tokens, what would be clear is `undecided`.
    """
    if measured.verdict is not None or measured.estimate is None or measured.limit is None:
        return measured
    if not calibrated:
        reason = "; ".join(filter(None, [f"not calibrated: {why_not}", measured.reason]))
        return measured.model_copy(update={"verdict": "undecided", "reason": reason})
    verdict: Verdict = "undecided"
    if measured.low is not None and measured.low > measured.limit:
        verdict = "flagged"
    elif measured.high is not None and measured.high < measured.limit:
        verdict = "undecided" if other_loss else "clear"
        if other_loss:
            reason = "; ".join(filter(None, [OTHER_LOSS, measured.reason]))
            measured = measured.model_copy(update={"reason": reason})
    return measured.model_copy(update={"verdict": verdict})


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


def covered(result: SubjectResult, *, lost: int, rows: int, way: str = "") -> SubjectResult:
    """
    The result on a subject of which too many rows were not read: what was clear is undecided, and what is undecided says
    so too; `way` is what to do.
    """
    if result.verdict not in ("clear", "undecided"):
        return result
    told = f" ({way})" if way else ""
    unread = f"{lost} of {rows} rows were not read{told}"
    parts = (unread, result.reason) if result.verdict == "clear" else (result.reason, unread)
    reason = "; ".join(filter(None, parts))
    return result.model_copy(update={"verdict": "undecided", "reason": reason})


def _pull(one: Measurement) -> tuple[bool, float]:
    # A trait that is flagged comes before one whose estimate is larger and whose interval is wide.
    return one.verdict == "flagged", one.estimate if one.estimate is not None else float("-inf")


def _reason(verdict: Verdict, top: Measurement, measured: Sequence[Measurement]) -> str:
    limit = f"{top.limit:g} logits"
    if verdict == "flagged":
        return f"'{top.trait}' would move by more than {limit}; {top.reason}"
    if verdict == "clear":
        return f"none of {len(measured)} traits would move by {limit}; {top.reason}"
    if "not calibrated" in top.reason or OTHER_LOSS in top.reason:
        return top.reason
    open_ones = [one for one in measured if one.verdict == "undecided"]
    return f"the interval of {len(open_ones)} of {len(measured)} traits holds {limit}; {top.reason}"


def largest_safe_dose(
    transfer: Sequence[Measurement], table: CalibrationTable | None
) -> float | None:
    """
    The largest share of these rows, the others being clean, at which no trait's upper limit reaches the limit.

    Transfer at a dose is taken from the calibration's own teachers, as a share of that at full dose. None without a
    calibration, or where no share that was tried stays under.
    """
    if table is None or not table.doses:
        return None
    doses = np.array([dose for dose, _ in table.doses])
    shares = np.maximum.accumulate(np.array([share for _, share in table.doses]))
    highest = _highest(transfer)
    if highest is None:
        return None
    limit = transfer[0].limit or 0.0
    if highest < limit:
        return 1.0
    under = doses[shares * highest < limit]
    return float(under.max()) if len(under) else None


def largest_safe_steps(transfer: Sequence[Measurement], planned: int) -> int | None:
    """
    The largest number of the plan's steps after which no trait's upper limit reaches the limit.

    Between the readings of the rehearsal and the plan's end transfer is taken to grow in a straight line; what the
    readings missed is added in proportion. None where the first reading is over already, or nothing was measured.
    """
    limit = next((measured.limit for measured in transfer if measured.limit is not None), None)
    if limit is None:
        return None
    safe = planned
    for measured in transfer:
        if measured.high is None or measured.estimate is None:
            continue
        steps, moved = _way(measured, planned)
        upper = moved + (measured.high - measured.estimate) * steps / planned
        over = np.flatnonzero(upper >= limit)
        if not len(over):
            continue
        first = int(over[0])
        if first == 0:
            return None
        before, after = upper[first - 1], upper[first]
        at = steps[first - 1] + (limit - before) / (after - before) * (
            steps[first] - steps[first - 1]
        )
        safe = min(safe, int(at))
    return safe or None


def smallest_dose(table: CalibrationTable | None, rows: int) -> float | None:
    """
    The smallest dose of a tuned teacher's rows that was flagged in at least 80 % of the calibration's datasets of about
    this size.
    """
    if table is None:
        return None
    tried = [rate for rate in table.rates if rate.kind == "tuned" and rate.dose and rate.rows]
    if not tried:
        return None
    sizes = sorted({rate.rows for rate in tried if rate.rows}, key=lambda size: abs(size - rows))
    seen = [
        rate.dose
        for rate in tried
        if rate.rows == sizes[0] and rate.dose and rate.flagged >= POWER * rate.datasets
    ]
    return min(seen, default=None)


POWER = 0.8


def _highest(transfer: Sequence[Measurement]) -> float | None:
    return max((one.high for one in transfer if one.high is not None), default=None)


def _way(measured: Measurement, planned: int) -> tuple[np.ndarray, np.ndarray]:
    readings = [
        (int(name.rsplit(" ", 1)[1]), float(value))
        for name, value in measured.details.items()
        if name.startswith("moved at step ")
    ]
    points = [(0, 0.0), *sorted(readings), (planned, measured.estimate or 0.0)]
    kept = dict(points)
    return np.array(list(kept)), np.array(list(kept.values()))
