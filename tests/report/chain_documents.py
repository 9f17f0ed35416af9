"""Decisions to render: an honest one, and one whose every text is hostile."""

from __future__ import annotations

from undertow.results.provenance_documents import (
    AuditFact,
    Facts,
    GateDocument,
    Input,
    Link,
    Problem,
    RuleResult,
    TeacherFact,
    VerifyDocument,
)

HOSTILE = "<script>alert(1)</script>\x1b[2J[a](javascript:x) | `c` \u202e {0} ---\n- a: b"
A, B, C, D = "a" * 64, "b" * 64, "c" * 64, "d" * 64


def decision(text: str = "rows.jsonl") -> GateDocument:
    """A decision with one of everything, its texts replaced by this one."""
    facts = Facts(
        digest=A,
        rows=3,
        student_digest=D,
        student_known=True,
        provenance_complete=False,
        data_complete=True,
        teachers_complete=True,
        teachers=(
            TeacherFact(
                name=text,
                model=text,
                digest=C,
                role="teacher",
                access="weights",
                family=text,
                inits=(D,),
                shared="yes",
                evidence="attested",
            ),
        ),
        families=(text,),
        shared_initialisation="yes",
        shared_evidence="attested",
        audits=(
            AuditFact(
                attestation="1" * 64,
                suite=text,
                verdict="failed",
                student=D,
                at="2026-11-25T08:00:00Z",
                valid_until="2027-11-25T08:00:00Z",
                age_days=1,
                auditors=(text,),
                independent=True,
                power="0.8",
                power_at="0.5",
                counts=True,
            ),
        ),
        domains=(text,),
        model_written=0.5,
        model_written_known=True,
        filters_proved=True,
        producers=(text,),
        oldest_days=1,
        newest_days=1,
        problems=("no-provenance",),
    )
    links = (
        Link(
            step="filter",
            subject=text,
            digest=A,
            attestation="2" * 64,
            signers=(text,),
            at="2026-11-25T08:00:00Z",
            where=text,
            depth=0,
            inputs=(Input(role="input-data", name=text, digest=B),),
            about={"rules": text},
            proof=text,
        ),
        Link(
            step="generate",
            subject="raw",
            digest=B,
            attestation="3" * 64,
            signers=("lab",),
            at="2026-11-25T08:00:00Z",
            where="x",
            depth=1,
            inputs=(Input(role="teacher-weights", name="teacher", digest=C),),
        ),
        Link(
            step="finetune",
            subject="teacher",
            digest=C,
            attestation="4" * 64,
            signers=("lab",),
            at="2026-11-25T08:00:00Z",
            where="x",
            depth=2,
            inputs=(
                Input(role="init-weights", name="base", digest=D),
                Input(role="train-data", name="lessons", digest="e" * 64),
            ),
        ),
    )
    problems = (
        Problem(
            id="no-provenance",
            link=text,
            message=text,
            expected=text,
            found=text,
            key=text,
            todo=text,
        ),
        Problem(id="unreadable", link=text, message=text, blocks=False),
    )
    checked = VerifyDocument(
        verdict="refused",
        conclusion=f"refused: {text}",
        data=text,
        files=1,
        student=text,
        links=links,
        roots=(Input(role="trusted model", name="base", digest=D),),
        problems=problems,
        facts=facts,
        trust=text,
        trust_digest="5" * 64,
        trust_version=1,
        attestations=(text,),
        at="2026-11-25T08:00:00Z",
        command=text,
    )
    return GateDocument(
        decision="refused",
        conclusion=f"refused: {text}",
        policy=text,
        policy_title=text,
        policy_digest="6" * 64,
        rules=(
            RuleResult(
                id="a", kind="cel", outcome="refused", reason=text, todo=text, expression=text
            ),
            RuleResult(id="b", kind="largest-dose", outcome="passed", reason=text),
            RuleResult(id="c", kind="largest-dose", outcome="not_matched", reason=text),
        ),
        warnings=(text,),
        verification=checked,
        summary=text,
        at="2026-11-25T08:00:00Z",
        command=text,
    )
