"""
The fact document of a walk: the only thing that policies see. Who wrote the data, and which audits of it count.

An audit counts for this student, while it is valid, and if no other one of its suite has overtaken it: a later one, or
one of the whole plan where it is of the beginning alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from undertow.provenance.chain import Accepted
from undertow.provenance.signed_verdicts import (
    AUDIT,
    LINEAGE,
    AuditResult,
    LineageResult,
    SignedResult,
)
from undertow.provenance.statement import moment
from undertow.provenance.steps import DataOrigin, ModelOrigin, RowWriter
from undertow.provenance.walk import Walk
from undertow.results.measurement import AuditVerdict
from undertow.results.provenance_documents import Answer, AuditFact, Facts, TeacherFact

Weight = Literal["measured", "attested", "declared", "none"]

EVIDENCE: tuple[Weight, ...] = ("none", "declared", "attested", "measured")
"""From the weakest to the strongest."""

_WORSE: dict[AuditVerdict, int] = {"failed": 0, "undecided": 1, "within": 2, "passed": 3}


def facts_of(
    walk: Walk, digest: str, data: DataOrigin, *, student: str | None, sound: bool
) -> Facts:
    """
    The facts about a dataset and a student.

    Args:
        sound: whether the dataset on disk is what its statements speak of.
    """
    base = walk.student(student)
    teachers = tuple(
        dict.fromkeys(_teacher(walk, writer, student, base) for writer in data.writers)
    )
    shared, evidence = _overall(teachers, data)
    ages = [(walk.now - time).total_seconds() / 86400 for time in data.times]
    blocking = [problem.id for problem in walk.problems if problem.blocks]
    return Facts(
        digest=digest,
        rows=data.rows,
        student_digest=student,
        student_known=base.known,
        provenance_complete=sound and data.complete and data.whole,
        data_complete=sound and data.complete,
        teachers_complete=data.named_all,
        teachers=teachers,
        families=tuple(
            sorted({who.family for who in teachers if who.family and who.role == "teacher"})
        ),
        shared_initialisation=shared,
        shared_evidence=evidence,
        audits=audit_facts(walk, digest, student, data),
        domains=tuple(sorted(data.domains)),
        model_written=data.written,
        model_written_known=sound and data.written_known,
        interventions=tuple(sorted(data.interventions)),
        filters_proved=sound and data.complete and data.proved,
        producers=tuple(sorted(data.producers)),
        oldest_days=max(ages, default=None),
        newest_days=min(ages, default=None),
        problems=tuple(dict.fromkeys(blocking)),
    )


def _teacher(walk: Walk, writer: RowWriter, student: str | None, base: ModelOrigin) -> TeacherFact:
    model, origin = writer.model, writer.origin
    measured = measured_lineage(walk, model.weights_digest, student)
    declared = () if model.lineage.init == "unknown" else (model.lineage.init,)
    inits = tuple(sorted(origin.inits)) or declared
    shared, evidence = _shared(origin, measured, declared, base, model.weights_digest, student)
    # An adapter or another model may hide behind families that are known in part only.
    family = ", ".join(sorted(origin.families)) if origin.known and origin.families else None
    return TeacherFact(
        name=model.name,
        model=model.model_id,
        digest=model.weights_digest,
        role=writer.role,
        access=model.access,
        family=family,
        inits=inits,
        shared=shared,
        evidence=evidence,
        measured=measured is not None,
    )


def _shared(
    origin: ModelOrigin,
    measured: Literal["shared", "distinct"] | None,
    declared: tuple[str, ...],
    base: ModelOrigin,
    teacher: str | None,
    student: str | None,
) -> tuple[Answer, Weight]:
    """Whether a teacher shares the student's initialisation: one sign of sharing outweighs all others."""
    if student is not None and (teacher == student or student in origin.inits | set(declared)):
        return "yes", "attested" if student in origin.inits or teacher == student else "declared"
    if measured == "shared":
        return "yes", "measured"
    if base.inits & origin.inits:
        return "yes", "attested"
    if base.inits & set(declared):
        return "yes", "declared"
    if measured == "distinct":
        return "no", "measured"
    if not base.known:
        return "unknown", "none"
    if origin.known and origin.inits:
        return "no", "attested"
    # A known part of the initialisations is no claim about the rest.
    return ("no", "declared") if declared and not origin.inits else ("unknown", "none")


def _overall(teachers: Sequence[TeacherFact], data: DataOrigin) -> tuple[Answer, Weight]:
    sharing = [who.evidence for who in teachers if who.shared == "yes"]
    if sharing:
        return "yes", max(sharing, key=EVIDENCE.index)
    if (
        data.written_known
        and data.written == 0
        and data.named_all
        and data.complete
        and not teachers
    ):
        return "no", "attested"
    all_known = bool(teachers) and all(who.shared == "no" for who in teachers)
    if not all_known or not data.named_all or not data.complete:
        return "unknown", "none"
    return "no", min((who.evidence for who in teachers), key=EVIDENCE.index)


_OVERTAKEN = {
    False: "overtaken by a later audit",
    True: "overtaken by a later audit, or by one of the whole plan",
}
"""Why an audit does not count, by whether it is `within`."""


@dataclass(frozen=True)
class _Audit:
    statement: Accepted
    result: AuditResult
    reason: str


def audit_facts(
    walk: Walk, digest: str, student: str | None, data: DataOrigin
) -> tuple[AuditFact, ...]:
    """Every accepted audit of the dataset, and whether it counts."""
    audits = []
    for statement in walk.chain.about(digest, (AUDIT,)):
        result = statement.attestation.content
        assert isinstance(result, AuditResult)
        audits.append(_Audit(statement, result, _reason(result, student, walk.now)))
        about = {"verdict": result.verdict, "student": result.against.student_init}
        walk.link(statement, digest, about)
    latest = _latest(audits)
    marked = [
        audit
        if audit.reason or audit in latest
        else replace(audit, reason=_OVERTAKEN[audit.result.verdict == "within"])
        for audit in audits
    ]
    return tuple(_fact(audit, data, walk.now) for audit in marked)


def measured_lineage(
    walk: Walk, teacher: str | None, student: str | None
) -> Literal["shared", "distinct"] | None:
    """What auditors measured of a teacher and this student: `shared` if any of them did."""
    if teacher is None or student is None:
        return None
    verdicts = set()
    for statement in walk.chain.about(teacher, (LINEAGE,)):
        result = statement.attestation.content
        assert isinstance(result, LineageResult)
        if result.student == student and _valid(result, walk.now):
            about = {"verdict": result.verdict, "methods": ", ".join(result.methods)}
            walk.link(statement, teacher, about)
            verdicts.add(result.verdict)
    if "shared" in verdicts:
        return "shared"
    return "distinct" if verdicts == {"distinct"} else None


def _valid(result: SignedResult, now: datetime) -> bool:
    return moment(result.evaluated_at) <= moment(result.valid_until) and now <= moment(
        result.valid_until
    )


def _reason(result: AuditResult, student: str | None, now: datetime) -> str:
    if student is None:
        return "the student has no digest, and an audit holds for one student base only"
    if result.against.student_init != student:
        return f"it holds for the student base {result.against.student_init[:12]}…, and yours is {student[:12]}…"
    if not _valid(result, now):
        return f"it was valid until {result.valid_until}"
    return ""


def _latest(audits: Iterable[_Audit]) -> list[_Audit]:
    """
    Of each suite the last audit that holds here; of several at the same moment the worst.

    `within` is about the beginning of the plan: it takes nothing back that an audit of the whole plan said, and a failed
    one is answered by a passed one alone.
    """
    latest: dict[str, _Audit] = {}
    failed: set[str] = set()
    for audit in sorted((one for one in audits if not one.reason), key=_order):
        suite, verdict = audit.result.suite.name, audit.result.verdict
        known = latest.get(suite)
        passed = known is not None and known.result.verdict == "passed"
        if verdict == "within" and (passed or suite in failed):
            continue
        latest[suite] = audit
        if verdict == "failed":
            failed.add(suite)
        elif verdict == "passed":
            failed.discard(suite)
    return list(latest.values())


def _order(audit: _Audit) -> tuple[datetime, int]:
    return moment(audit.result.evaluated_at), -_WORSE[audit.result.verdict]


def _fact(audit: _Audit, data: DataOrigin, now: datetime) -> AuditFact:
    result = audit.result
    same = frozenset(audit.statement.signers) & data.producers
    allied = audit.statement.organisations & data.organisations
    power = result.power
    return AuditFact(
        attestation=audit.statement.attestation.envelope.digest,
        suite=result.suite.name,
        verdict=result.verdict,
        student=result.against.student_init,
        at=result.evaluated_at,
        valid_until=result.valid_until,
        age_days=max(0.0, (now - moment(result.evaluated_at)).total_seconds() / 86400),
        auditors=audit.statement.signers,
        independent=bool(data.producers) and not same and not allied,
        power=power.value if power else None,
        power_at=power.at if power else None,
        counts=not audit.reason,
        reason=audit.reason,
    )
