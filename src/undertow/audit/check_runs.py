"""
Runs checks on a subject: one that fails is an entry, never the end of the scan; one that is finished is not run again.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.checks.lineage.lineage_subject import LineageSubject
from undertow.checks.registry import Registered
from undertow.checks.tuned.diff_subject import DiffSubject
from undertow.data.closed import Stored
from undertow.data.files import atomic_write
from undertow.errors import MissingExtraError, UndertowError
from undertow.results.measurement import Measurement
from undertow.results.scan_document import CheckRun

logger = logging.getLogger(__name__)


class Ran(Stored):
    """A check on a subject, finished."""

    run: CheckRun
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True)
class Kept:
    """Where finished checks of an interrupted scan are found again."""

    folder: Path | None

    def load(self, subject: str, check: str) -> Ran | None:
        """A finished check, if it is there and whole."""
        path = self._path(subject, check)
        if path is None or not path.is_file():
            return None
        try:
            return _RAN.validate_json(path.read_bytes())
        except ValueError:
            return None

    def store(self, subject: str, check: str, ran: Ran) -> None:
        """Keep a finished check."""
        path = self._path(subject, check)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, _RAN.dump_json(ran).decode())

    def clear(self) -> None:
        """Forget all of the scan, which is finished."""
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.glob("*.json"):
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def _path(self, subject: str, check: str) -> Path | None:
        # A source's name is hostile text: only its digest names a file.
        digest = hashlib.sha256(subject.encode()).hexdigest()[:16]
        return None if self.folder is None else self.folder / f"{check}-{digest}.json"


_RAN = TypeAdapter(Ran)


def run_check(
    subject: ScanSubject | LineageSubject | DiffSubject, check: Registered, kept: Kept
) -> Ran:
    """The check's measurements on the subject, or why there are none."""
    finished = kept.load(subject.name, check.id)
    if finished is not None:
        return finished
    started = time.perf_counter()
    status, reason = "done", ""
    measurements: Sequence[Measurement] = ()
    try:
        measurements = check.load()(subject)
    except MissingExtraError as error:
        status, reason = "skipped", f"{error.message}; {error.hint}"
    except (UndertowError, ValueError, RuntimeError, ArithmeticError, MemoryError) as error:
        logger.exception("check %s on %s", check.id, subject.name)
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
            "rows": len(subject.rows) if isinstance(subject, ScanSubject) else 0,
        }
    )
    ran = Ran(run=run, measurements=tuple(measurements))
    if status != "error":
        kept.store(subject.name, check.id, ran)
    return ran


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
