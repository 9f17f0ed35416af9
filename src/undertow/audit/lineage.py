"""`undertow lineage`: does a student share its initialisation with a teacher, and what follows from it?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from undertow.audit.check_runs import Ran, merged, run_check
from undertow.audit.requests import LineageRequest, Progress
from undertow.checks.lineage.lineage_subject import LineageSubject, Side
from undertow.checks.lineage.lineage_weights import ALIGNED
from undertow.checks.registry import Registered, check_named, registered
from undertow.data.files import model_digest
from undertow.engines.endpoint import Endpoint
from undertow.models.hardware import AUTO, ComputeTable
from undertow.results.measurement import Measurement, Verdict, environment
from undertow.results.model_documents import LayerFit, LineageDocument, Related, Relation
from undertow.worlds import locate
from undertow.worlds.base_models import settled_for

CHEAP = ("lineage-metadata", "lineage-tokenizer", "lineage-weights")
"""Checks that read files only; the others load or ask the models."""

LIMITS = (
    "A shared initialisation says nothing about what either model learned, nor which descends from which.",
    "No evidence is no proof: it holds for the power that is stated, and a child that was trained for very long is missed.",
    "The hidden channel needs a shared initialisation; ordinary text and preference pairs carry traits between unrelated models too.",
)
_SEVERITY: tuple[Relation, ...] = ("same", "disguised", "unknown", "none")
_VERDICTS: dict[Relation, Verdict] = {
    "same": "flagged",
    "disguised": "flagged",
    "unknown": "undecided",
    "none": "clear",
}
_HIDDEN: dict[Relation, str] = {
    "same": "open: rows of this teacher can carry traits that nothing in them shows",
    "disguised": "open, if the teacher was derived before it was disguised; count it as open",
    "unknown": "not known, and so it counts as open",
    "none": "no evidence that it is open",
}
_ORDINARY = {
    True: "open: the same tokenizer and shape; whatever rows say openly, and preference pairs, carry traits",
    False: "open: ordinary text and preference pairs carry traits across families too",
}


@dataclass(frozen=True)
class TeacherAudit:
    """One teacher held against the student: what its checks measured, and what follows."""

    related: Related
    ran: tuple[Ran, ...]


def lineage(request: LineageRequest, progress: Progress = lambda doing: None) -> LineageDocument:
    """
    Compare the student with every teacher.

    Raises:
        ModelError: the student, or the only teacher, cannot be opened.
        UnknownNameError: there is no such check.
    """
    started = time.perf_counter()
    checks = [check_named(id, "lineage") for id in _chosen(request)]
    compute = _settled(request)
    student = side_of(request.student, compute)
    controls = tuple(side_of(ref, compute) for ref in request.controls)
    _refuse_broken(student)
    audits = []
    for ref in request.teachers:
        teacher = side_of(ref, compute)
        if len(request.teachers) == 1:
            _refuse_broken(teacher)
        pair = LineageSubject(ref, student, teacher, controls, request.seed, request.level)
        audits.append(_audit(pair, checks, progress))
    audits.sort(key=lambda a: (_SEVERITY.index(a.related.relation), a.related.p or 0.0))
    return _document(request, audits, time.perf_counter() - started)


def _audit(pair: LineageSubject, checks: Sequence[Registered], progress: Progress) -> TeacherAudit:
    ran = []
    for check in checks:
        progress(f"{check.id} of {pair.name}")
        ran.append(run_check(pair, check))
    return TeacherAudit(_related(pair, ran), tuple(ran))


def _settled(request: LineageRequest) -> ComputeTable:
    """One precision for all models that lie here, so that none differs from another by rounding."""
    refs = (request.student, *request.teachers, *request.controls)
    return settled_for(request.compute, *(ref for ref in refs if not _is_address(ref)))


def _is_address(ref: str) -> bool:
    return ref.startswith(("http://", "https://"))


def side_of(ref: str, compute: ComputeTable = AUTO) -> Side:
    """
    A reference, located; nothing is read yet.

    Raises:
        ConfigError: an address that cannot be used.
    """
    if _is_address(ref):
        address, _, model = ref.partition("#")
        return Side(ref, None, Endpoint(address, model))
    return Side(ref, locate(ref), compute=compute)


def _chosen(request: LineageRequest) -> Sequence[str]:
    if request.checks:
        return request.checks
    refs = (request.student, *request.teachers)
    asked = any(ref.startswith("http") for ref in refs) or bool(request.controls)
    return [
        id for id in registered("lineage") if id in CHEAP or (asked and id == "lineage-outputs")
    ]


def _refuse_broken(side: Side) -> None:
    if side.path is not None:
        _ = side.checkpoint


def _related(pair: LineageSubject, ran: Sequence[Ran]) -> Related:
    measured = [one for each in ran for one in each.measurements]
    by_name = {(one.check, one.name): one for one in measured}
    relation, deciding, reason = _relation(measured)
    aligned = by_name.get(("lineage-weights", ALIGNED))
    family = _same_family(by_name)
    return Related(
        teacher=pair.teacher.ref,
        digest=_digest_if_readable(pair.teacher),
        relation=relation,
        verdict=_VERDICTS[relation],
        reason=reason,
        p=deciding.p if deciding else None,
        detectable=_number(aligned, "detectable"),
        same_family=family,
        hidden_channel=_HIDDEN[relation],
        ordinary_channel=_ORDINARY[bool(family)],
        layers=_layers(aligned),
    )


def _relation(measured: Sequence[Measurement]) -> tuple[Relation, Measurement | None, str]:
    """By weights where they could be compared, else by outputs."""
    weights = [m for m in measured if m.check == "lineage-weights"]
    tested = [m for m in weights if m.detected is not None]
    for test in tested:
        if test.detected:
            return ("same" if test.name == ALIGNED else "disguised"), test, test.reason
    if tested:
        return "none", tested[0], tested[0].reason
    for test in (m for m in measured if m.check == "lineage-outputs" and m.detected is not None):
        if test.detected:
            return "same", test, test.reason
        return "unknown", test, f"{test.reason}; too weak a test to deny a common start"
    reasons = [m.reason for m in weights if m.reason]
    return "unknown", None, (reasons or ["no check that can decide was run"])[0]


def _same_family(by_name: dict[tuple[str, str], Measurement]) -> bool | None:
    vocabulary = by_name.get(("lineage-tokenizer", "vocabulary"))
    declared = by_name.get(("lineage-metadata", "declared base"))
    if vocabulary is None or declared is None or vocabulary.estimate is None:
        return None
    return vocabulary.estimate > 0.99 and declared.details.get("equal shape") == 1


def _layers(aligned: Measurement | None) -> tuple[LayerFit, ...]:
    if aligned is None:
        return ()
    values = str(aligned.details.get("z by layer", "")).split()
    return tuple(LayerFit(layer=i, z=float(z)) for i, z in enumerate(values))


def _number(one: Measurement | None, name: str) -> float | None:
    value = one.details.get(name) if one else None
    return float(value) if value is not None else None


def _digest_if_readable(side: Side) -> str | None:
    try:
        return model_digest(side.path) if side.path is not None else None
    except OSError:
        return None


def _document(
    request: LineageRequest, audits: Sequence[TeacherAudit], seconds: float
) -> LineageDocument:
    teachers = tuple(audit.related for audit in audits)
    ran = [ran for audit in audits for ran in audit.ran]
    return LineageDocument(
        verdict=teachers[0].verdict,
        conclusion=_conclusion(request.student, teachers),
        advice=_advice(teachers),
        student=request.student,
        student_digest=_digest_if_readable(side_of(request.student)),
        teachers=teachers,
        level=request.level,
        measurements=tuple(m for check in ran for m in check.measurements),
        checks=merged([check.run for check in ran]),
        limits=LIMITS,
        config={
            "checks": list(request.checks),
            "controls": list(request.controls),
            "compute": _settled(request).model_dump(mode="json"),
            "level": request.level,
        },
        seed=request.seed,
        wall_seconds=seconds,
        command=request.command,
        **environment(workers=1, device="cpu").fields,
    )


def _conclusion(student: str, teachers: Sequence[Related]) -> str:
    first = teachers[0]
    text = {
        "same": f"'{first.teacher}' and '{student}' began as one network",
        "disguised": f"'{first.teacher}' and '{student}' began as one network, and one of them was disguised since",
        "none": f"there is no evidence that '{first.teacher}' and '{student}' began as one network",
        "unknown": f"whether '{first.teacher}' and '{student}' began as one network could not be measured",
    }[first.relation]
    shared = sum(one.relation in ("same", "disguised") for one in teachers)
    if len(teachers) > 1 and shared:
        text += f"; so did {shared - 1} of the other {len(teachers) - 1}" if shared > 1 else ""
    known = first.p is not None and first.relation != "unknown"
    p = f" (p {f'= {first.p:.2g}' if (first.p or 0) > 1e-250 else '< 1e-250'})" if known else ""
    return f"{text}{p}. {first.reason[:1].upper()}{first.reason[1:]}."


def _advice(teachers: Sequence[Related]) -> str:
    unrelated = [one for one in teachers if one.relation == "none"]
    foreign = [one for one in unrelated if one.same_family is False]
    chosen = (foreign or unrelated)[-1:]
    if not chosen:
        return (
            "Take a teacher of another family, or scan its rows before training on them: "
            "undertow scan DATA --student MODEL --teacher TEACHER."
        )
    name = f"'{chosen[0].teacher}'"
    if chosen[0].same_family is False:
        told = (
            f"Prefer {name}, of another family" if teachers[1:] else f"{name} is of another family"
        )
    else:
        seen = "no common start was seen"
        told = f"Prefer {name}, with which {seen}" if teachers[1:] else f"With {name} {seen}"
    return f"{told}: the hidden channel needs one. What its rows say openly still carries; scan them all the same."
