"""Statements that lineages and diffs leave behind when they are given a key."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Literal

from undertow import __version__
from undertow.errors import ProvenanceError
from undertow.provenance.attesting import Signing
from undertow.provenance.by_products import VALID, decimal, sign_audit, sign_lineage
from undertow.provenance.statement import Subject, spelled
from undertow.provenance.verdicts import (
    Against,
    AuditResult,
    Claim,
    Evidence,
    Tool,
    Verifier,
)
from undertow.results.diff import DiffDocument
from undertow.results.lineage import LineageDocument, Relation

_LINEAGE: dict[Relation, Literal["shared", "distinct", "unknown"]] = {
    "same": "shared",
    "disguised": "shared",
    "none": "distinct",
    "unknown": "unknown",
}
_VERDICTS: dict[str, Literal["passed", "failed", "undecided"]] = {
    "clear": "passed",
    "flagged": "failed",
}


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
    for one in document.teachers:
        if student is None or one.digest is None:
            raise ProvenanceError(
                f"'{document.student if student is None else one.teacher}' has no digest, and a statement is about weights",
                hint="compare folders of safetensors, or leave --sign out",
            )
        methods = {m.check for m in document.measurements if m.subject == one.teacher}
        sign_lineage(
            bundle,
            teacher=(one.teacher, one.digest),
            student=student,
            verdict=_LINEAGE[one.relation],
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
    said = AuditResult(
        verifier=Verifier(id=signing.verifier, version={"undertow": __version__}),
        evaluated_at=spelled(signing.now),
        valid_until=spelled(signing.now + valid),
        suite=Tool(name="undertow.diff", version=__version__),
        verdict=_VERDICTS.get(document.verdict, "undecided"),
        claims=_claims(document),
        sample_size=str(len(document.tuned)),
        against=Against(student_init=document.base_digest),
        harness=Tool(name="undertow", version=__version__),
        evidence=Evidence(name="diff.json", digest={"sha256": evidence}),
    )
    for name, digest in zip(document.tuned, digests, strict=True):
        sign_audit(bundle, Subject(name=Path(name).name, digest={"sha256": digest}), said, signing)


def _claims(document: DiffDocument) -> tuple[Claim, ...]:
    unasked = [one for one in document.changes if not one.intended] or list(document.changes)
    return tuple(
        Claim(
            metric=f"absolute change of {one.trait}"[:4000],
            comparator="<",
            threshold=decimal(document.limit),
            observed=decimal(abs(one.estimate)) if math.isfinite(one.estimate) else None,
            passed=one.verdict == "clear",
        )
        for one in unasked
    )
