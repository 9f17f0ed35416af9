"""`undertow scan`: would training on a dataset move a student?"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from undertow.audit.check_runs import Ran, finished_checks, merged, run_check
from undertow.audit.open_meaning import open_meanings
from undertow.audit.prices import Spending, afforded
from undertow.audit.requests import Progress, ScanRequest, ignored_keys
from undertow.audit.scan_inputs import ScanInputs, open_inputs
from undertow.audit.verdicts import (
    beginnings,
    conclusion,
    covered,
    judged,
    subject_result,
    whole_plan,
)
from undertow.checks.dataset.reference_trials import MOVED, wanted
from undertow.checks.dataset.rehearsal import ID as BEGINNING
from undertow.checks.dataset.scan_subject import ReferenceSettings, ScanSubject
from undertow.checks.dataset.whole_plan import ID as WHOLE_PLAN
from undertow.checks.registry import Registered, check_named, chosen_checks
from undertow.data.file_sample import Data
from undertow.data.files import model_digest
from undertow.data.finished import Finished, cache_folder
from undertow.data.plan import plan_digest, plan_notes
from undertow.data.rows import dataset_digest
from undertow.engines import choose
from undertow.engines.engine import Engine
from undertow.influence.reference_family import family_record
from undertow.results.family_record import FamilyRecord, beforehand
from undertow.results.measurement import Measurement, environment, worst
from undertow.results.scan_document import (
    ALL,
    ASSISTANT,
    CheckRun,
    Moved,
    ReferenceDeclaration,
    ScanDocument,
    StageResult,
    SubjectResult,
)
from undertow.worlds.base_models import locate

logger = logging.getLogger(__name__)

LIMITS = (
    "A trait that is not probed is not judged; the open search only names what else moves.",
    "A trait that shows only behind a trigger, in a system prompt say, is not seen by probes without it.",
    "A rank among references says that rows are unlike those of the declared family, not that they are harmful; what the "
    "whole plan moves is said by stage 2 alone.",
    "Ordinary text and preference pairs carry traits across bases too; that the author is foreign reassures about the "
    "hidden channel only.",
)

GIVEN = "the rows are one more dataset like those that were given"
MADE_TOO = f"{GIVEN}, and like those that were made: "
"""Where fewer were given than are judged beside: begins what is taken for granted, and the family's own words end it."""

STRONGER = (
    "Rows that a stronger model or people wrote nearly always stand out from what the student's own base would write: for "
    "such data stage 1 decides little, and references of that kind (--reference DATA) or the whole plan (--require clear) do."
)


@dataclass
class Audited:
    """A subject with what its checks measured."""

    subject: ScanSubject
    ran: list[Ran] = field(default_factory=list)

    def measured(self, kind: str = "", check: str = "") -> list[Measurement]:
        """Of the checks of a kind, or of one check."""
        return [
            one
            for ran in self.ran
            for one in ran.measurements
            if kind in ("", ran.run.kind) and check in ("", ran.run.check)
        ]


Begun = Callable[[ScanDocument], None]
"""Is given the document of the beginning before the whole plan is trained."""

STILL_AT_WORK = (
    "This is the verdict of the plan’s beginning: the whole plan was at work when it was left, and the same command goes on "
    "with it."
)


def scan(
    request: ScanRequest,
    progress: Progress = lambda doing: None,
    begun: Begun = lambda document: None,
) -> ScanDocument:
    """
    Open what is scanned, say what it costs, run the checks on the whole and on each source, judge, and document.

    Args:
        begun: so that who ends the whole plan early has the verdict of its beginning.

    Raises:
        InputError: data, a model, the plan or the engine cannot be used.
        NothingLeftError: no row is left that the student could be trained on.
    """
    name = request.engine or "inprocess"
    with choose(name, request.jobs, gpus=request.gpus, memory=request.memory) as engine:
        engine.join()
        return _scanned(request, progress, begun, engine)


def _scanned(
    request: ScanRequest, progress: Progress, begun: Begun, engine: Engine
) -> ScanDocument:
    started = time.perf_counter()
    checks = chosen_checks("dataset", request.checks)
    inputs = open_inputs(request, progress, engine)
    allowance = afforded(inputs.subjects, request.budget)
    ledger = Spending(allowance, progress, request.require_clear)
    finished = finished_checks(cache_folder() / "scans" / _key(request, inputs))
    audits = [Audited(subject) for subject in allowance.subjects]
    if any(check.id == BEGINNING for check in checks):
        ledger.expect(allowance.subjects, even_refused=request.dry_run)
        for note in islice(_beforehand(allowance.subjects[0]), 1):  # the document has them all
            progress(f"beforehand: {note}")
    if request.dry_run:
        ledger.prices = ledger.beforehand()
        return _document(request, inputs, [], [], ledger, time.perf_counter() - started)
    for audit in audits:
        _check(audit, checks, ledger, finished, progress)
    measured = {one.subject.name: one.measured(check=BEGINNING) for one in audits}
    first = beginnings(measured, 1 - request.level)
    for name, stage in first.items():
        progress(
            f"beginning of {'the whole' if name == ALL else name}: {stage.verdict}, {stage.reason}"
        )
    out = {name for name, stage in first.items() if stage.verdict == "stands out"}
    going_on = [one for one in audits if request.require_clear or one.subject.name in out]
    if going_on and first:
        results = [_result(audit, first, inputs, request) for audit in audits]
        seconds = time.perf_counter() - started
        early = _document(request, inputs, audits, results, ledger, seconds)
        begun(early.model_copy(update={"limits": (STILL_AT_WORK, *early.limits)}))
    for audit in going_on:
        _rehearse_whole(audit, ledger, finished, progress)
    results = [_result(audit, first, inputs, request) for audit in audits]
    seconds = time.perf_counter() - started
    document = _document(request, inputs, audits, results, ledger, seconds)
    finished.clear()
    return document


def _key(request: ScanRequest, inputs: ScanInputs) -> str:
    """
    Names what an interrupted scan kept: the same settings find it again, with the same content of all files that they
    name.
    """
    whole, settings = inputs.whole, inputs.whole.references
    datasets = [whole.control, *(settings.given if settings else ())]
    models = [ref for ref in (request.teacher, *request.candidates, *request.placebos) if ref]
    known = [
        inputs.data.digest,
        inputs.student_digest,
        repr(replace(request.anywhere, compute=inputs.precision.compute)),
        [dataset_digest(rows) for rows in datasets],
        [model_digest(locate(ref)) for ref in models],
        repr(whole.traits),
    ]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]


def _check(
    audit: Audited,
    checks: Sequence[Registered],
    ledger: Spending,
    finished: Finished[Ran],
    progress: Progress,
) -> None:
    """Run the checks of a subject, but for the whole plan, which waits for what its beginning shows."""
    subject = audit.subject
    for check in checks:
        # What a model wrote is what it is, whatever is learnt of it: evidence is the same.
        if check.id == WHOLE_PLAN or (subject.name == ASSISTANT and check.kind != "transfer"):
            continue
        progress(f"{check.id} on {'the whole' if subject.name == ALL else subject.name}")
        if check.id == BEGINNING and ledger.allowance.refused:
            audit.ran.append(_refused(audit, ledger.allowance.refused))
            continue
        audit.ran.append(run_check(subject, check, finished))
        if check.id == BEGINNING:
            ledger.enter(subject, 1, audit.measured(check=BEGINNING))


def _refused(audit: Audited, reason: str) -> Ran:
    subject = audit.subject.name
    measured = Measurement(check=BEGINNING, subject=subject, verdict="undecided", reason=reason)
    run = CheckRun(check=BEGINNING, kind="transfer", status="skipped", reason=reason)
    return Ran(run=run, measurements=(measured,))


def _rehearse_whole(
    audit: Audited, ledger: Spending, finished: Finished[Ran], progress: Progress
) -> None:
    """Stage 2 of a subject, if the budget pays for it."""
    subject = audit.subject
    if not ledger.pays(subject):
        return
    progress(f"{WHOLE_PLAN} on {'the whole' if subject.name == ALL else subject.name}")
    audit.ran.append(run_check(subject, check_named(WHOLE_PLAN), finished))
    ledger.enter(subject, 2, audit.measured(check=WHOLE_PLAN))


def _result(
    audit: Audited,
    first: Mapping[str, StageResult],
    inputs: ScanInputs,
    request: ScanRequest,
) -> SubjectResult:
    """The verdict on a subject; what is clear of a part of the rows alone is undecided."""
    subject = audit.subject
    measured = [audit.measured(check=BEGINNING), audit.measured(check=WHOLE_PLAN)]
    second = whole_plan(measured[1], 1 - request.level)
    stages = list(zip((first.get(subject.name), second), measured, strict=True))
    result = subject_result(subject.name, len(subject.rows), stages, audit.measured("evidence"))
    transfer = [judged(one) for one in measured[1] or measured[0]]
    openly = open_meanings(subject, result, transfer)
    result = result.model_copy(update={"open_meaning": openly})
    if inputs.usable >= request.min_usable:
        return result
    rows = round(inputs.data.rows / inputs.read)
    lost = rows - round(rows * inputs.usable)
    return covered(result, lost=lost, rows=rows, way=inputs.way)


def _moved(audits: Sequence[Audited]) -> Iterator[Moved]:
    """What the open searches found."""
    for audit in audits:
        for entry in audit.measured(check=BEGINNING):
            if entry.name.startswith(MOVED):
                yield Moved.model_validate(
                    {
                        "subject": entry.subject,
                        "what": entry.name.removeprefix(MOVED),
                        "name": entry.reason,
                        "estimate": entry.estimate,
                        "unit": entry.unit,
                        "p": entry.p,
                    }
                )


def _shown(audits: Sequence[Audited]) -> Iterator[Measurement]:
    """What was measured, judged, without what the open searches found."""
    for audit in audits:
        yield from (judged(m) for m in audit.measured() if not m.name.startswith(MOVED))


def _document(
    request: ScanRequest,
    inputs: ScanInputs,
    audits: Sequence[Audited],
    results: Sequence[SubjectResult],
    ledger: Spending,
    seconds: float,
) -> ScanDocument:
    """Everything that a report shows of a scan."""
    whole = inputs.whole
    verdict = worst(result.verdict for result in results)
    noted = [inputs.precision.note] if inputs.precision.note else []
    return ScanDocument(
        verdict=verdict,
        conclusion=conclusion(verdict, results, request.limit, ledger.allowance.refused)
        + _left_out(inputs.data),
        data=inputs.data,
        student=request.student,
        student_digest=inputs.student_digest,
        teacher=request.teacher,
        control=inputs.control,
        plan=whole.plan.model_dump(mode="json"),
        planned_steps=whole.plan.steps(whole.planned_rows),
        loss=inputs.loss,
        limit=request.limit,
        level=request.level,
        traits=tuple(trait.name for trait in whole.traits),
        subjects=tuple(results),
        measurements=tuple(_shown(audits)),
        checks=merged([ran.run for audit in audits for ran in audit.ran]),
        moved=tuple(_moved(audits)),
        probes=inputs.probes,
        references=_references(whole, request, ledger),
        prices=tuple(ledger.prices),
        budget=request.budget,
        limits=(*LIMITS, *noted, *plan_notes(whole.plan), *request.plan_notes),
        config=_configuration(request) | {"compute": inputs.precision.record},
        inputs=_digests(inputs),
        seed=request.seed,
        wall_seconds=seconds,
        command=request.command,
        **environment(workers=1, device=str(whole.student.device)).fields,
    )


def _references(
    whole: ScanSubject, request: ScanRequest, ledger: Spending
) -> ReferenceDeclaration | None:
    """What a page says of the declared family."""
    settings = whole.references
    if settings is None:
        return None
    family = settings.family
    notes = filter(None, (*_beforehand(whole), ledger.allowance.note))
    given = tuple(
        f"{len(settings.given)} given datasets: {', '.join(request.references)}"
        for _ in settings.given[:1]
    )
    return ReferenceDeclaration(
        family=family.name,
        digest=family.digest,
        assumption=_assumption(whole, settings),
        members=(*given, *family.members),
        notes=tuple(notes),
        record=_record(whole),
    )


def _given_alone(whole: ScanSubject, settings: ReferenceSettings) -> bool:
    """Whether no reference is of the family."""
    most = wanted(settings, whole.rows, settings.count)
    return bool(settings.given) and len(settings.given) >= most


def _assumption(whole: ScanSubject, settings: ReferenceSettings) -> str:
    if _given_alone(whole, settings):
        return GIVEN
    return f"{MADE_TOO if settings.given else ''}{settings.family.assumption}"


def _record(whole: ScanSubject) -> FamilyRecord | None:
    """What was measured beside references of the family alone."""
    settings = whole.references
    return family_record(settings.family) if settings and not settings.given else None


def _beforehand(whole: ScanSubject) -> Iterator[str]:
    """What must be known of the beginning's ranks before they are seen."""
    if whole.references is None or _given_alone(whole, whole.references):
        return
    yield STRONGER
    record = _record(whole)
    if record is not None and (measured := beforehand(record, whole.planned_rows)):
        yield measured


def _configuration(request: ScanRequest) -> dict[str, object]:
    """What is stored of the request beside the named fields of the document."""
    return {
        "checks": list(request.checks),
        "max_rows": request.max_rows,
        "system_prompt": request.system_prompt,
        "temperature": request.temperature,
        "acceptance": request.acceptance,
        "beta": request.beta,
        "min_usable": request.min_usable,
        "candidates": list(request.candidates),
        "placebos": list(request.placebos),
        "references": list(request.references),
        "reference_count": request.reference_count,
        "require_clear": request.require_clear,
        **ignored_keys(request),
    }


def _digests(inputs: ScanInputs) -> dict[str, str]:
    digests = {
        "plan": plan_digest(inputs.whole.plan),
        "data": inputs.data.digest,
        "student": inputs.student_digest,
    }
    return {name: digest for name, digest in digests.items() if digest}


def _left_out(data: Data) -> str:
    """What a verdict does not cover; a file could otherwise be cleared by what nobody read."""
    count = sum(excluded.rows for excluded in data.excluded)
    if not count:
        return ""
    reasons = ", ".join(excluded.reason for excluded in data.excluded)
    rows, them = ("row", "it") if count == 1 else ("rows", "them")
    return f" {count} {rows} could not be used ({reasons}): nothing is said of {them}."
