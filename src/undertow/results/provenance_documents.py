"""
The stored result of a walk along signed statements: the document `undertow.verify/1`, with its facts.

Everything a policy or a report looks at is in here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from undertow.data.closed import Stored
from undertow.results.measurement import AuditVerdict

VERIFY_SCHEMA = "undertow.verify/1"

Answer = Literal["yes", "no", "unknown"]


class Problem(Stored):
    """Something that is not proved, in words."""

    id: str
    """Permanent, e.g. `no-provenance`, `unknown-signer`, `revoked-key`."""
    link: str
    """Which dataset, model or statement."""
    message: str
    expected: str = ""
    found: str = ""
    key: str = ""
    """Which key, where one is concerned."""
    todo: str = ""
    """What to do about it."""
    blocks: bool = True
    """Whether the chain is incomplete because of it; a stray line in a bundle is not."""


class Input(Stored):
    """What a step used."""

    role: str
    name: str
    digest: str | None


class Link(Stored):
    """One statement of the chain."""

    step: str
    """`generate`, `collect`, `filter`, `mix`, `finetune`, `merge`, `quantize`, `audit` or `lineage`."""
    subject: str
    digest: str
    """SHA-256 of what it speaks of."""
    attestation: str
    """SHA-256 of the signed payload."""
    signers: tuple[str, ...]
    at: str
    """When the step ended, as its signer says."""
    where: str
    """File and line."""
    depth: int
    """Steps from the dataset."""
    inputs: tuple[Input, ...] = ()
    about: dict[str, str] = Field(default_factory=dict)
    """What a reader should know of the step."""
    proof: str = ""
    """What was recomputed, e.g. a ledger; empty where the signature is all there is."""


class TeacherFact(Stored):
    """A model that wrote rows, or judged which of them stay."""

    name: str
    model: str
    digest: str | None
    role: Literal["teacher", "filter", "upstream"]
    """`upstream` is a teacher of a teacher."""
    access: Literal["weights", "api"]
    family: str | None
    """Of its initialisation; None where that is unknown."""
    inits: tuple[str, ...] = ()
    """Digests of the initialisations it goes back to; empty where unknown."""
    shared: Answer
    """Whether it shares its initialisation with the student."""
    evidence: Literal["measured", "attested", "declared", "none"]
    """What that answer rests on."""
    measured: bool = False
    """Whether an auditor measured it, whatever else is known."""


class AuditFact(Stored):
    """An audit of this dataset."""

    attestation: str
    suite: str
    verdict: AuditVerdict
    student: str
    at: str
    valid_until: str
    age_days: float
    auditors: tuple[str, ...]
    independent: bool
    """Whether no key of the producers, nor their organisation, signed it."""
    power: str | None = None
    power_at: str | None = None
    counts: bool
    """Whether it is the latest valid one of its suite, for this student."""
    reason: str = ""
    """Why it does not count."""


class Facts(Stored):
    """What is known of a dataset and a student; nothing is true in here because it is absent."""

    digest: str
    rows: int | None
    student_digest: str | None
    student_known: bool
    """Whether the student's initialisation is known."""
    provenance_complete: bool
    """Whether every dataset and model of the chain is attested by trusted keys, or is a trusted root."""
    data_complete: bool
    """Whether every dataset up to its writers is."""
    teachers_complete: bool
    """Whether every signer claims to have named all models."""
    teachers: tuple[TeacherFact, ...] = ()
    families: tuple[str, ...] = ()
    """Known families of the teachers."""
    shared_initialisation: Answer
    """`no` only if every teacher is known not to share it."""
    shared_evidence: Literal["measured", "attested", "declared", "none"]
    """The weakest evidence behind a `no`."""
    audits: tuple[AuditFact, ...] = ()
    domains: tuple[str, ...] = ()
    model_written: float
    """Largest possible share of model-written rows, in [0, 1]; 1 where unknown."""
    model_written_known: bool
    interventions: tuple[str, ...] = ()
    filters_proved: bool
    """Whether each filter's ledger was checked; true also where there is no filter."""
    producers: tuple[str, ...] = ()
    oldest_days: float | None = None
    """Age of the oldest data step, in days."""
    newest_days: float | None = None
    problems: tuple[str, ...] = ()
    """Ids of the problems that block."""


class VerifyDocument(Stored):
    """The whole result of one walk."""

    schema_: Literal["undertow.verify/1"] = Field(default="undertow.verify/1", alias="schema")
    verdict: Literal["verified", "refused"]
    conclusion: str
    data: str
    """Path, as it was given."""
    files: int
    student: str | None = None
    links: tuple[Link, ...] = ()
    roots: tuple[Input, ...] = ()
    """Models at which the chain ends because the trust file lists them."""
    problems: tuple[Problem, ...] = ()
    facts: Facts
    trust: str
    """Path of the trust file."""
    trust_digest: str
    trust_version: int
    attestations: tuple[str, ...] = ()
    """Files that were read."""
    at: str
    """The moment for which it holds."""
    packages: dict[str, str] = Field(default_factory=dict)
    command: str


class RuleResult(Stored):
    """One rule of a policy, decided."""

    id: str
    kind: str
    """`require-provenance`, ..., or `cel`."""
    outcome: Literal["passed", "refused", "not_matched"]
    """`not_matched`: the rule has a condition that this data does not meet."""
    reason: str
    todo: str = ""
    expression: str = ""
    """Of a custom rule."""


class GateDocument(Stored):
    """The whole result of one decision."""

    schema_: Literal["undertow.gate/1"] = Field(default="undertow.gate/1", alias="schema")
    decision: Literal["allowed", "refused"]
    conclusion: str
    policy: str
    """Name of a starter policy, or a path."""
    policy_title: str
    policy_digest: str
    rules: tuple[RuleResult, ...]
    warnings: tuple[str, ...] = ()
    verification: VerifyDocument
    summary: str | None = None
    """Path of the signed summary, where one was written."""
    at: str
    command: str


GATE_SCHEMA = "undertow.gate/1"
