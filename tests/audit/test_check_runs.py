"""A check that fails is an entry of the scan, and what is kept of it can be trusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.checks.dataset.numbers_subject import opened, subject, written
from undertow.audit.check_runs import finished_check, finished_checks, merged, run_check
from undertow.checks.dataset.scan_subject import ScanSubject
from undertow.checks.registry import Registered
from undertow.errors import MissingExtraError
from undertow.results.measurement import Kind, Measurement


def good(subject: ScanSubject) -> list[Measurement]:
    """Measures something."""
    return [Measurement(check="good", subject=subject.name, estimate=len(subject.rows))]


def bad(subject: ScanSubject) -> list[Measurement]:
    """Fails as a check of another package may."""
    raise ValueError("no good\nat all")


def poor(subject: ScanSubject) -> list[Measurement]:
    """Lacks a package."""
    raise MissingExtraError("scikit-learn", "lab", purpose="this check")


def check(id: str, kind: Kind = "evidence") -> Registered:
    """A registered check of this file."""
    return Registered(id, kind, "", {"good": good, "bad": bad, "poor": poor}[id])


ROWS = written(opened(), 64, 1)


@pytest.mark.parametrize(
    ("id", "status"), [("good", "done"), ("bad", "error"), ("poor", "skipped")]
)
def test_every_ending_is_an_entry(id: str, status: str) -> None:
    """Done, failed with its first line, or skipped for want of a package."""
    ran = run_check(subject(ROWS), check(id))

    assert ran.run.status == status
    assert "\n" not in ran.run.reason
    assert len(ran.measurements) == 1


def test_what_is_kept_is_found_unless_it_is_damaged(tmp_path: Path) -> None:
    """A finished check is loaded; a torn file is run again; a failure is never kept."""
    finished = finished_checks(tmp_path / "scan")
    run_check(subject(ROWS), check("good"), finished)
    run_check(subject(ROWS), check("bad"), finished)
    [stored] = (tmp_path / "scan").glob("*.json")

    assert finished_check(finished, "all", "good") is not None
    stored.write_text(stored.read_text()[:20])
    assert finished_check(finished, "all", "good") is None
    finished.clear()
    assert not (tmp_path / "scan").exists()


def test_runs_of_several_subjects_are_one_entry_a_check() -> None:
    """Seconds are summed and the most telling status is kept."""
    runs = [run_check(subject(ROWS), check("good")).run for _ in range(2)]
    [entry] = merged([*runs, runs[0].model_copy(update={"status": "error"})])

    assert entry.status == "error"
    assert entry.seconds >= sum(run.seconds for run in runs)


def test_evidence_is_about_rows_with_an_answer_and_counts_the_others() -> None:
    """What has no answer is left out with its number; transfer is asked of all rows; without any, nothing is asked."""
    silent = [replace(row, completion="", answered=False, whole=True) for row in ROWS[:3]]
    mixed, none = subject((*silent, *ROWS[3:])), subject(tuple(silent))
    evidence, transfer = (
        run_check(mixed, check("good", kind)) for kind in ("evidence", "transfer")
    )
    nothing = run_check(none, check("bad"))

    assert [ran.measurements[0].estimate for ran in (evidence, transfer)] == [61, 64]
    assert evidence.run.reason == "3 of 64 rows end without an answer and are left out"
    assert (nothing.run.status, nothing.run.rows) == ("not_applicable", 0)
