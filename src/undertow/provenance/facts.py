"""The fact document of a walk: the only thing that policies see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from undertow.provenance.audits import audit_facts, measured_lineage
from undertow.provenance.chain import Chain
from undertow.provenance.found import DataOrigin, ModelOrigin, RowWriter
from undertow.results.provenance import Answer, Facts, TeacherFact

Evidence = Literal["measured", "attested", "declared", "none"]

_STRENGTH: tuple[Evidence, ...] = ("none", "declared", "attested", "measured")


def facts_of(
    chain: Chain, digest: str, data: DataOrigin, *, student: str | None, sound: bool
) -> Facts:
    """
    The facts about a dataset and a student.

    Args:
        sound: whether the dataset on disk is what its statements speak of.
    """
    own = _student(chain, student)
    teachers = _distinct([_teacher(chain, writer, student, own) for writer in data.writers])
    shared, evidence = _overall(teachers, data)
    ages = [(chain.now - time).total_seconds() / 86400 for time in data.times]
    blocking = [problem.id for problem in chain.problems if problem.blocks]
    return Facts(
        digest=digest,
        rows=data.rows,
        student_digest=student,
        student_known=own.known,
        provenance_complete=sound and data.complete and data.whole,
        data_complete=sound and data.complete,
        teachers_complete=data.named_all,
        teachers=teachers,
        families=tuple(
            sorted({one.family for one in teachers if one.family and one.role == "teacher"})
        ),
        shared_initialisation=shared,
        shared_evidence=evidence,
        audits=audit_facts(chain, digest, student, data),
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


def _student(chain: Chain, digest: str | None) -> ModelOrigin:
    """What is known of the student; gaps in its own chain are no gaps in the data's."""
    known = list(chain.problems)
    found = chain.model(digest, "student", quiet=True)
    chain.problems = [
        each if each in known else each.model_copy(update={"blocks": False})
        for each in chain.problems
    ]
    return found


def _teacher(chain: Chain, writer: RowWriter, student: str | None, own: ModelOrigin) -> TeacherFact:
    model, found = writer.model, writer.found
    measured = measured_lineage(chain, model.weights_digest, student)
    declared = () if model.lineage.init == "unknown" else (model.lineage.init,)
    inits = tuple(sorted(found.inits)) or declared
    shared, evidence = _shared(found, measured, declared, own, model.weights_digest, student)
    # An adapter or another model may hide behind families that are known in part only.
    family = ", ".join(sorted(found.families)) if found.known and found.families else None
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
    found: ModelOrigin,
    measured: Literal["shared", "distinct"] | None,
    declared: tuple[str, ...],
    own: ModelOrigin,
    teacher: str | None,
    student: str | None,
) -> tuple[Answer, Evidence]:
    """
    Whether a teacher shares the student's initialisation: one sign of sharing outweighs all others.
    """
    if student is not None and (teacher == student or student in found.inits | set(declared)):
        return "yes", "attested" if student in found.inits or teacher == student else "declared"
    if measured == "shared":
        return "yes", "measured"
    if own.inits & found.inits:
        return "yes", "attested"
    if own.inits & set(declared):
        return "yes", "declared"
    if measured == "distinct":
        return "no", "measured"
    if not own.known:
        return "unknown", "none"
    if found.known and found.inits:
        return "no", "attested"
    # A known part of the initialisations is no claim about the rest.
    return ("no", "declared") if declared and not found.inits else ("unknown", "none")


def _overall(teachers: Sequence[TeacherFact], data: DataOrigin) -> tuple[Answer, Evidence]:
    if any(one.shared == "yes" for one in teachers):
        return "yes", _strongest([one.evidence for one in teachers if one.shared == "yes"])
    if (
        data.written_known
        and data.written == 0
        and data.named_all
        and data.complete
        and not teachers
    ):
        return "no", "attested"
    all_known = bool(teachers) and all(one.shared == "no" for one in teachers)
    if not all_known or not data.named_all or not data.complete:
        return "unknown", "none"
    return "no", min((one.evidence for one in teachers), key=_STRENGTH.index)


def _strongest(found: Sequence[Evidence]) -> Evidence:
    return max(found, key=_STRENGTH.index)


def _distinct(teachers: Sequence[TeacherFact]) -> tuple[TeacherFact, ...]:
    return tuple(dict.fromkeys(teachers))
