"""Statements that scans, lineages and diffs leave behind when they are given a key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal

from undertow import __version__
from undertow.data.dataset import place_of
from undertow.data.part_leaves import dataset_root
from undertow.errors import ProvenanceError
from undertow.provenance.identity import manifest_of
from undertow.provenance.signed_steps import Signing, sign_beside, sign_into, statement
from undertow.provenance.signed_verdicts import (
    AUDIT,
    LINEAGE,
    Against,
    AuditResult,
    Claim,
    LineageResult,
    Power,
    StoredEvidence,
    Tool,
    Verifier,
)
from undertow.provenance.statement import StatementSubject, time_text
from undertow.results.measurement import audit_verdict
from undertow.results.model_documents import DiffDocument, LineageDocument, Relation
from undertow.results.scan_document import (
    AnyScan,
    AnySubjectResult,
    FormerScanDocument,
    FormerSubjectResult,
    StageResult,
)

VALID = timedelta(days=180)
"""For how long a result counts if nothing else is said."""

_LINEAGE: dict[Relation, Literal["shared", "distinct", "unknown"]] = {
    "same": "shared",
    "disguised": "shared",
    "none": "distinct",
    "unknown": "unknown",
}


def sign_scan(
    document: AnyScan,
    evidence: str,
    signing: Signing,
    *,
    valid: timedelta = VALID,
) -> Path:
    """
    Attest what a scan found, into the bundle beside its data; returns the bundle's path.

    Args:
        evidence: SHA-256 of the stored scan.

    Raises:
        ProvenanceError: the data changed since it was scanned, or the student has no digest.
    """
    path = document.data.path
    if document.student_digest is None:
        raise ProvenanceError(
            f"the student '{document.student}' has no digest, and an audit holds for one student base",
            hint="scan with the model's folder as --student",
        )
    manifest = manifest_of(path)
    # Older scans named their file by its bytes.
    by_bytes = [entry.sha256 for entry in manifest.entries] == [document.data.digest]
    if not by_bytes and dataset_root(path) != document.data.digest:
        raise ProvenanceError(f"'{path}' is not what was scanned: it changed since")
    result = AuditResult(
        verifier=Verifier(id=signing.verifier, version={"undertow": __version__}),
        evaluated_at=time_text(signing.now),
        valid_until=time_text(signing.now + valid),
        suite=Tool(name="undertow.scan", version=__version__),
        verdict=audit_verdict(document.verdict),
        claims=_claims(document),
        sample_size=str(document.data.sampled),
        against=Against(student_init=document.student_digest),
        harness=Tool(name="undertow", version=__version__),
        power=_power(document),
        evidence=StoredEvidence(name="scan.json", digest={"sha256": evidence}),
    )
    # Without the rows' roots, which rows that the scan left out may not have.
    subject = StatementSubject(name=place_of(path).name, digest={"sha256": manifest.digest})
    return sign_beside(path, [statement(AUDIT, [subject], result)], signing)


def sign_lineage(
    bundle: Path,
    *,
    teacher: tuple[str, str],
    student: str,
    verdict: Literal["shared", "distinct", "unknown"],
    methods: Sequence[str],
    evidence: str,
    signing: Signing,
    valid: timedelta = VALID,
) -> None:
    """
    Attest what was measured of two models' initialisations, into a bundle.

    Args:
        teacher: its name, and the digest of its weights.
        student: digest of the student's weights.
        evidence: SHA-256 of the stored result.
    """
    result = LineageResult(
        verifier=Verifier(id=signing.verifier, version={"undertow": __version__}),
        evaluated_at=time_text(signing.now),
        valid_until=time_text(signing.now + valid),
        student=student,
        verdict=verdict,
        methods=tuple(methods),
        evidence=StoredEvidence(digest={"sha256": evidence}),
    )
    sign_into(bundle, [statement(LINEAGE, [_model(*teacher)], result)], signing)


def _claims(document: AnyScan) -> tuple[Claim, ...]:
    return tuple(_claim(result, document.limit) for result in document.subjects) or (
        Claim(metric="transfer", comparator="<", threshold=decimal(document.limit), passed=False),
    )


def _claim(result: AnySubjectResult, limit: float) -> Claim:
    last = None if isinstance(result, FormerSubjectResult) else result.last
    if last is not None and last.stage == 1:
        return _rank(result, last)
    steps = f" after {last.steps} of {last.planned_steps} steps" if last else ""
    bounded = result.high is not None and math.isfinite(result.high)
    return Claim(
        metric=f"transfer of {result.trait or 'any probed trait'} by {result.subject}{steps}"[
            :4000
        ],
        comparator="<",
        threshold=decimal(limit),
        observed=decimal(result.high or 0.0) if bounded else None,
        passed=result.verdict == "clear",
    )


def _rank(result: AnySubjectResult, stage: StageResult) -> Claim:
    """Of the beginning of the plan: the exact p against alpha, which says nothing of a limit."""
    p = stage.adjusted if stage.adjusted is not None else stage.p
    where = f"after {stage.steps} of {stage.planned_steps} steps"
    return Claim(
        metric=f"rank p of {result.subject} among {stage.references} references {where}"[:4000],
        comparator=">",
        threshold=decimal(stage.alpha),
        observed=decimal(p) if p is not None and math.isfinite(p) else None,
        passed=result.verdict == "within",
    )


def _power(document: AnyScan) -> Power | None:
    """
    How often data that move some trait so far would not have passed.

    A scan/1 had it measured; the intervals of `clear` hold the limit at their level, by how they are made. Before the
    plan's end nothing is said of the whole.
    """
    if not isinstance(document, FormerScanDocument):
        if document.verdict != "clear":
            return None
        level = decimal(document.level)
        return Power(value=level, at=decimal(document.limit), level=level)
    table = document.calibration
    if not table.found or table.power_low is None or table.power_at is None:
        return None
    return Power(
        value=decimal(table.power_low), at=decimal(table.power_at), level=decimal(table.level)
    )


def decimal(value: float) -> str:
    """
    A number as statements write it.

    >>> decimal(0.2), decimal(-1.50)
    ('0.2', '-1.5')
    """
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def sign_lineages(
    document: LineageDocument,
    evidence: str,
    bundle: Path,
    signing: Signing,
    *,
    valid: timedelta = VALID,
) -> None:
    """
    Attest what was found of the student and each teacher, into a bundle.

    No evidence of a common start is signed as `distinct`: how much was looked for is in the stored result.

    Args:
        evidence: SHA-256 of the stored lineage.

    Raises:
        ProvenanceError: one of the models has no digest.
    """
    student = document.student_digest
    for teacher in document.teachers:
        if student is None or teacher.digest is None:
            raise ProvenanceError(
                f"'{document.student if student is None else teacher.teacher}' has no digest, and a statement is about weights",
                hint="compare folders of safetensors, or leave --sign out",
            )
        methods = {m.check for m in document.measurements if m.subject == teacher.teacher}
        sign_lineage(
            bundle,
            teacher=(teacher.teacher, teacher.digest),
            student=student,
            verdict=_LINEAGE[teacher.relation],
            methods=sorted(methods),
            evidence=evidence,
            signing=signing,
            valid=valid,
        )


def sign_diff(
    document: DiffDocument,
    evidence: str,
    bundle: Path,
    signing: Signing,
    *,
    valid: timedelta = VALID,
) -> None:
    """
    Attest what was found of each tuned model against its base, into a bundle.

    Args:
        evidence: SHA-256 of the stored diff.

    Raises:
        ProvenanceError: a model has no digest, or nothing was compared.
    """
    digests = [digest for digest in document.tuned_digests if digest is not None]
    if document.base_digest is None or len(digests) != len(document.tuned):
        raise ProvenanceError(
            "a model of this diff has no digest, and a statement is about weights",
            hint="compare folders of safetensors, or leave --sign out",
        )
    if not document.changes:
        raise ProvenanceError("nothing was compared, so there is nothing to sign")
    result = AuditResult(
        verifier=Verifier(id=signing.verifier, version={"undertow": __version__}),
        evaluated_at=time_text(signing.now),
        valid_until=time_text(signing.now + valid),
        suite=Tool(name="undertow.diff", version=__version__),
        verdict=audit_verdict(document.verdict),
        claims=_change_claims(document),
        sample_size=str(len(document.tuned)),
        against=Against(student_init=document.base_digest),
        harness=Tool(name="undertow", version=__version__),
        evidence=StoredEvidence(name="diff.json", digest={"sha256": evidence}),
    )
    statements = [
        statement(AUDIT, [_model(Path(name).name, digest)], result)
        for name, digest in zip(document.tuned, digests, strict=True)
    ]
    sign_into(bundle, statements, signing)


def _model(name: str, digest: str) -> StatementSubject:
    return StatementSubject(name=name, digest={"sha256": digest})


def _change_claims(document: DiffDocument) -> tuple[Claim, ...]:
    unasked = [change for change in document.changes if not change.intended] or list(
        document.changes
    )
    return tuple(
        Claim(
            metric=f"absolute change of {change.trait}"[:4000],
            comparator="<",
            threshold=decimal(document.limit),
            observed=decimal(abs(change.estimate)) if math.isfinite(change.estimate) else None,
            passed=change.verdict == "clear",
        )
        for change in unasked
    )
