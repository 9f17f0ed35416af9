"""
What auditors and the gate sign: audit results, lineage results, verification summaries.

The fields of an audit result are those of the eval-result predicate proposed to in-toto; the summary is SLSA's,
version 1.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from undertow.provenance.statement import Count, Digest, DigestSet, Number, Signable, Text, Time
from undertow.results.measurement import AuditVerdict

AUDIT = "urn:undertow:attestation:audit-result/v1"
LINEAGE = "urn:undertow:attestation:lineage-result/v1"
SUMMARY = "https://slsa.dev/verification_summary/v1"
"""Predicate types."""


class Verifier(Signable):
    """Who looked."""

    id: Text
    version: dict[Text, Text] = Field(default_factory=dict)


class Tool(Signable):
    """What was looked with."""

    name: Text
    version: Text | None = None
    digest: Digest | None = None


class Claim(Signable):
    """One number that was compared with a threshold."""

    metric: Text
    comparator: Literal["<", "<=", ">", ">="]
    threshold: Number
    observed: Number | None = None
    passed: bool

    @model_validator(mode="after")
    def _passed_by_its_number(self) -> Self:
        # At the threshold itself the digits that were left out may decide.
        if self.passed and self.observed is not None:
            beyond = Decimal(self.observed).compare(Decimal(self.threshold))
            if beyond == (1 if self.comparator.startswith("<") else -1):
                raise ValueError(
                    f"{self.observed} {self.comparator} {self.threshold} is false, and it passed"
                )
        return self


class Against(Signable):
    """The student that an audit holds for, and the models that wrote the data."""

    student_init: Digest
    teacher: tuple[Digest, ...] = ()


Share = Annotated[str, StringConstraints(pattern=r"^(0(\.[0-9]{1,30})?|1(\.0{1,30})?)$")]
"""A share in [0, 1] as a decimal string."""


Size = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,30}(\.[0-9]{1,30})?$")]
"""A number that is not negative, as a decimal string."""


class Power(Signable):
    """How often the audit sees what it looks for."""

    value: Share
    """Lower limit of the detection rate, in [0, 1]."""
    at: Size
    """Size of the effect that it holds for, in logits of transfer."""
    level: Number | None = None


class StoredEvidence(Signable):
    """The stored result behind a verdict."""

    name: Text | None = None
    digest: DigestSet


class SignedResult(Signable):
    """What every result that somebody signs has."""

    verifier: Verifier
    evaluated_at: Time
    valid_until: Time


class AuditResult(SignedResult):
    """What an audit of a dataset found, for one student base."""

    suite: Tool
    verdict: AuditVerdict
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]
    sample_size: Count
    against: Against
    harness: Tool | None = None
    power: Power | None = None
    pre_registration: Digest | None = None
    assurance_level: Text | None = None
    evidence: StoredEvidence

    @model_validator(mode="after")
    def _passed_means_all(self) -> Self:
        good = self.verdict in ("passed", "within")
        if good and not all(claim.passed for claim in self.claims):
            raise ValueError(f"the verdict is '{self.verdict}' and a claim did not pass")
        return self


class LineageResult(SignedResult):
    """What a measurement found of the initialisation of two models; the subject is the teacher."""

    student: Digest
    verdict: Literal["shared", "distinct", "unknown"]
    methods: Annotated[tuple[Text, ...], Field(min_length=1)]
    evidence: StoredEvidence


class SummaryPolicy(Signable):
    """The policy of a summary."""

    uri: Text
    digest: DigestSet


class SummaryInput(Signable):
    """An attestation that a decision rests on, by the digest of its payload."""

    digest: DigestSet


class Summary(Signable):
    """SLSA's verification summary, version 1."""

    verifier: Verifier
    time_verified: Time
    resource_uri: Text
    policy: SummaryPolicy
    input_attestations: tuple[SummaryInput, ...]
    verification_result: Literal["PASSED", "FAILED"]
    verified_levels: tuple[Text, ...]
    slsa_version: Text | None = None
