"""Runs checks on a subject: one that fails is an entry, never the end of the scan; one that is finished is not run again."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.checks.lineage.lineage_subject import LineageSubject
from undertow.checks.registry import Registered
from undertow.checks.tuned.diff_subject import DiffSubject
from undertow.data.closed import Stored
from undertow.data.finished import Finished
from undertow.errors import MissingExtraError, UndertowError
from undertow.results.measurement import Measurement, not_applicable
from undertow.results.scan_document import CheckRun

logger = logging.getLogger(__name__)

Subject = ScanSubject | LineageSubject | DiffSubject


class Ran(Stored):
    """A check on a subject, finished."""

    run: CheckRun
    measurements: tuple[Measurement, ...]


def finished_checks(folder: Path) -> Finished[Ran]:
    """Where the finished checks of an interrupted scan are found again."""
    return Finished(folder, TypeAdapter(Ran))


def finished_check(finished: Finished[Ran], subject: str, check: str) -> Ran | None:
    """A finished check, if it is there and whole."""
    try:
        return finished.result(_name(subject, check))
    except ValueError:
        return None


def _name(subject: str, check: str) -> str:
    # A source's name is hostile text: only its digest names a file.
    return f"{check}-{hashlib.sha256(subject.encode()).hexdigest()[:16]}"


def run_check(
    subject: Subject,
    check: Registered,
    finished: Finished[Ran] | None = None,
) -> Ran:
    """The check's measurements on the subject, or why there are none."""
    before = None if finished is None else finished_check(finished, subject.name, check.id)
    if before is not None:
        return before
    started = time.perf_counter()
    asked, left_out = _asked_of(subject, check)
    status, reason = "done", left_out
    measurements: Sequence[Measurement] = ()
    try:
        if isinstance(asked, ScanSubject) and not asked.rows:
            measurements = [not_applicable(check.id, subject.name, left_out)]
        else:
            measurements = check.load()(asked)
    except MissingExtraError as error:
        status, reason = "skipped", f"{error.message}; {error.hint}"
    except (UndertowError, ValueError, RuntimeError, ArithmeticError, MemoryError) as error:
        # What is raised on purpose says enough; the way to it is of use for the rest.
        trace = not isinstance(error, UndertowError)
        logger.error("check %s on %s: %s", check.id, subject.name, error, exc_info=trace)
        status, reason = "error", str(error).splitlines()[0] if str(error) else type(error).__name__
    if status != "done":
        measurements = [
            Measurement.model_validate(
                {"check": check.id, "subject": subject.name, "verdict": status, "reason": reason}
            )
        ]
    elif measurements and all(one.verdict == "not_applicable" for one in measurements):
        status, reason = "not_applicable", measurements[0].reason
    elif measurements and all(one.verdict == "skipped" for one in measurements):
        status, reason = "skipped", measurements[0].reason
    run = CheckRun.model_validate(
        {
            "check": check.id,
            "kind": check.kind,
            "status": status,
            "reason": reason,
            "seconds": time.perf_counter() - started,
            "rows": len(asked.rows) if isinstance(asked, ScanSubject) else 0,
        }
    )
    ran = Ran(run=run, measurements=tuple(measurements))
    if finished is not None and status != "error":
        finished.keep(_name(subject.name, check.id), ran)
    return ran


def _asked_of(subject: Subject, check: Registered) -> tuple[Subject, str]:
    """What a check is asked about, and in words what it is not: evidence is about answers, and not all rows have one."""
    if not isinstance(subject, ScanSubject) or check.kind != "evidence":
        return subject, ""
    asked = subject.with_answers
    without, rows = len(subject.rows) - len(asked.rows), len(subject.rows)
    if not without:
        return asked, ""
    ends = "ends" if without == 1 else "end"
    return asked, f"{without:,} of {rows:,} rows {ends} without an answer and are left out"


def merged(runs: Sequence[CheckRun]) -> tuple[CheckRun, ...]:
    """One entry a check over all subjects: seconds are summed, the most telling status is kept."""
    order = ("error", "done", "skipped", "not_applicable")
    entries: dict[str, CheckRun] = {}
    for run in runs:
        before = entries.get(run.check)
        if before is None:
            entries[run.check] = run
            continue
        first = min((before, run), key=lambda each: order.index(each.status))
        entries[run.check] = first.model_copy(
            update={"seconds": before.seconds + run.seconds, "rows": max(before.rows, run.rows)}
        )
    return tuple(entries.values())
