"""
Statements that other verbs leave behind when they are given a key: one function for each kind of result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal

from undertow import __version__
from undertow.errors import ProvenanceError
from undertow.provenance.attesting import (
    Signing,
    sign_beside,
    sign_into,
    statement,
)
from undertow.provenance.manifest import manifest_of
from undertow.provenance.statement import AUDIT, LINEAGE, Subject, spelled
from undertow.provenance.verdicts import (
    Against,
    AuditResult,
    Claim,
    Evidence,
    LineageResult,
    Power,
    Tool,
    Verifier,
)
from undertow.results.scan import ScanDocument

VALID = timedelta(days=180)
"""For how long a result counts if nothing else is said."""

_VERDICTS: dict[str, Literal["passed", "failed", "undecided"]] = {
    "clear": "passed",
    "flagged": "failed",
}


def sign_scan(
    document: ScanDocument,
    evidence: str,
    signing: Signing,
    *,
    teachers: Sequence[str] = (),
    valid: timedelta = VALID,
) -> Path:
    """
    Attest what a scan found, into the bundle beside its data; returns the bundle's path.

    Args:
        evidence: SHA-256 of the stored scan.
        teachers: digests of the models that wrote the rows, where they are known.

    Raises:
        ProvenanceError: the data changed since it was scanned, or the student has no digest.
    """
    path = Path(document.data.path)
    if document.student_digest is None:
        raise ProvenanceError(
            f"the student '{document.student}' has no digest, and an audit holds for one student base",
            hint="scan with the model's folder as --student",
        )
    found = manifest_of(path).entries
    if [entry.sha256 for entry in found] != [document.data.digest]:
        raise ProvenanceError(f"'{path}' is not what was scanned: it changed since")
    said = AuditResult(
        verifier=Verifier(id=signing.verifier, version={"undertow": __version__}),
        evaluated_at=spelled(signing.now),
        valid_until=spelled(signing.now + valid),
        suite=Tool(name="undertow.scan", version=__version__),
        verdict=_VERDICTS.get(document.verdict, "undecided"),
        claims=_claims(document),
        sample_size=str(document.data.sampled),
        against=Against(student_init=document.student_digest, teacher=tuple(teachers)),
        harness=Tool(name="undertow", version=__version__),
        power=_power(document),
        evidence=Evidence(name="scan.json", digest={"sha256": evidence}),
    )
    # Without the rows' roots, which rows that the scan left out may not have.
    subject = Subject(name=path.name, digest={"sha256": manifest_of(path).digest})
    return sign_beside(path, [statement(AUDIT, [subject], said)], signing)


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
    said = LineageResult(
        verifier=Verifier(id=signing.verifier, version={"undertow": __version__}),
        evaluated_at=spelled(signing.now),
        valid_until=spelled(signing.now + valid),
        student=student,
        verdict=verdict,
        methods=tuple(methods),
        evidence=Evidence(digest={"sha256": evidence}),
    )
    name, digest = teacher
    sign_into(
        bundle, [statement(LINEAGE, [Subject(name=name, digest={"sha256": digest})], said)], signing
    )


def sign_audit(
    bundle: Path,
    subject: Subject,
    result: AuditResult,
    signing: Signing,
) -> None:
    """Attest any other audit, such as that of a tuned model against its base, into a bundle."""
    sign_into(bundle, [statement(AUDIT, [subject], result)], signing)


def _claims(document: ScanDocument) -> tuple[Claim, ...]:
    return tuple(
        Claim(
            metric=f"transfer of {result.trait or 'any probed trait'} by {result.subject}"[:4000],
            comparator="<",
            threshold=decimal(document.limit),
            observed=decimal(result.high)
            if result.high is not None and math.isfinite(result.high)
            else None,
            passed=result.verdict == "clear",
        )
        for result in document.subjects
    ) or (
        Claim(metric="transfer", comparator="<", threshold=decimal(document.limit), passed=False),
    )


def _power(document: ScanDocument) -> Power | None:
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
