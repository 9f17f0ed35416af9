"""A scan from its request to its document."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from undertow.audit.advice import largest_safe_dose, largest_safe_steps, smallest_dose
from undertow.audit.control import cache_folder
from undertow.audit.documenting import Found, scan_document
from undertow.audit.opening import (
    Opened,
    calibrated,
    context_of,
    open_control,
    open_models,
    open_plan,
    open_traits,
)
from undertow.audit.request import ScanRequest
from undertow.audit.running import Kept, Ran, merged, run_check
from undertow.audit.verdicts import judged, subject_result
from undertow.checks.dataset.subject import Subject
from undertow.checks.fitting import fitting, refuse_broken
from undertow.checks.open_search import search
from undertow.checks.registry import Registered, check_named, registered
from undertow.data.rows import has_pairs
from undertow.data.screening import Screened, screen_file
from undertow.data.streams import derive
from undertow.errors import NothingLeftError, UndertowError
from undertow.results.scan import ALL, Moved, ScanDocument, SubjectResult, source_subject

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]

FEWEST_ROWS = 64
"""Rows below which a source is not judged on its own."""


def scan(request: ScanRequest, progress: Progress = lambda doing: None) -> ScanDocument:
    """
    Read the data, run the checks on the whole and on each source, and judge.

    Raises:
        InputError: data, a model or the plan cannot be used.
        NothingLeftError: no row is left that the student could be trained on.
    """
    started = time.perf_counter()
    checks = [check_named(id, "dataset") for id in request.checks] or list(
        registered("dataset").values()
    )
    progress("opening the models")
    opened = open_models(request)
    plan = open_plan(request, opened.student_digest)
    progress("reading the rows")
    screened = screen_file(
        request.data, max_rows=request.max_rows, seed=derive(request.seed, "sample")
    )
    fitted = fitting(screened.rows, opened.student, plan, places=screened.places)
    if not fitted.rows:
        raise NothingLeftError(f"no row of '{request.data}' fits the student '{request.student}'")
    refuse_broken(opened.student, fitted.rows)
    # The sample's share that does not fit is that of the file, which all cannot be encoded for.
    planned = max(1, round(screened.data.rows * len(fitted.rows) / len(screened.rows)))
    table, why_not = calibrated(opened.student_digest, plan, planned, pairs=has_pairs(fitted.rows))
    traits = open_traits(request, opened.student, table)
    progress("preparing the control")
    control, control_made = open_control(request, opened, fitted.rows)
    whole = Subject(
        name=ALL,
        rows=tuple(fitted.rows),
        student=opened.student,
        plan=plan,
        planned_rows=planned,
        traits=traits,
        seed=derive(request.seed, "subject", ALL),
        level=request.level,
        system_prompt=context_of(request, fitted.rows),
        control=control,
        control_made=control_made,
        temperatures=tuple(dict.fromkeys((1.0, request.temperature))),
        acceptance=request.acceptance,
        placebos=opened.placebos,
        teacher=opened.teacher,
        candidates=opened.candidates,
        calibration=table,
        limit=request.limit,
        beta=request.beta,
    )
    subjects = [whole, *_sources(whole, screened, request, opened)]
    kept = Kept(cache_folder() / "scans" / _key(request, screened.data.digest, opened))
    ran = {
        subject.name: _judged(subject, each, opened)
        for subject, each in _run_all(subjects, checks, kept, progress)
    }
    found = Found(
        subjects=tuple(_result(s, ran[s.name]) for s in subjects),
        measurements=tuple(
            one for s in subjects for each in ran[s.name] for one in each.measurements
        ),
        checks=merged([each.run for s in subjects for each in ran[s.name]]),
        moved=() if request.checks else _searched(whole, progress),
    )
    document = scan_document(
        request,
        opened,
        whole,
        found,
        data=fitted.described(screened.data),
        why_not=why_not,
        seconds=time.perf_counter() - started,
    )
    kept.clear()
    return document


def _searched(whole: Subject, progress: Progress) -> tuple[Moved, ...]:
    progress("searching what else moves")
    try:
        return search(whole)
    except UndertowError:
        logger.exception("open search")
        return ()


def _run_all(
    subjects: Sequence[Subject], checks: Sequence[Registered], kept: Kept, progress: Progress
) -> Iterator[tuple[Subject, list[Ran]]]:
    for subject in subjects:
        ran = []
        for check in checks:
            progress(f"{check.id} on {'the whole' if subject.name == ALL else subject.name}")
            ran.append(run_check(subject, check, kept))
        yield subject, ran


def _judged(subject: Subject, ran: Sequence[Ran], opened: Opened) -> list[Ran]:
    """The same with a verdict on each measurement of transfer; evidence is left as it is."""
    _, why_not = calibrated(
        opened.student_digest, subject.plan, subject.planned_rows, pairs=subject.pairs
    )
    return [
        each.model_copy(
            update={
                "measurements": tuple(
                    judged(one, calibrated=subject.calibration is not None, why_not=why_not)
                    for one in each.measurements
                )
            }
        )
        if each.run.kind == "transfer"
        else each
        for each in ran
    ]


def _sources(
    whole: Subject, screened: Screened, request: ScanRequest, opened: Opened
) -> list[Subject]:
    """One subject a source, where there is more than one: what a user can act on."""
    if len(screened.by_source) < 2:
        return []
    found = []
    for name, rows in screened.by_source.items():
        fitted = fitting(rows, opened.student, whole.plan)
        if len(fitted.rows) < FEWEST_ROWS:
            continue
        control = whole.control
        if whole.control_made:
            control, _ = open_control(request, opened, fitted.rows)
        share = screened.data.sources.get(name, len(rows)) / screened.data.rows
        planned = max(1, round(whole.planned_rows * share))
        table, _ = calibrated(
            opened.student_digest, whole.plan, planned, pairs=has_pairs(fitted.rows)
        )
        found.append(
            replace(
                whole,
                name=source_subject(name),
                rows=tuple(fitted.rows),
                planned_rows=planned,
                seed=derive(request.seed, "subject", name),
                control=control,
                calibration=table,
            )
        )
    return found


def _result(subject: Subject, ran: Sequence[Ran]) -> SubjectResult:
    transfer, evidence = (
        [one for each in ran if each.run.kind == kind for one in each.measurements]
        for kind in ("transfer", "evidence")
    )
    result = subject_result(subject.name, len(subject.rows), transfer, evidence)
    advised: dict[str, object] = {
        "smallest_dose": smallest_dose(subject.calibration, subject.planned_rows)
    }
    if result.verdict != "clear" and subject.calibration is not None:
        planned = subject.plan.steps(subject.planned_rows)
        advised |= {
            "largest_safe_dose": largest_safe_dose(transfer, subject.calibration),
            "largest_safe_steps": largest_safe_steps(transfer, planned),
        }
    return result.model_copy(update=advised)


def _key(request: ScanRequest, data: str | None, opened: Opened) -> str:
    """Names what an interrupted scan kept: the same data, student and settings find it again."""
    known = [data, opened.student_digest, repr(replace(request, command=""))]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]
