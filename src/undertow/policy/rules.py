"""The kinds of rules that policies are made of: what each asks for, as typed tables."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from undertow.results.stored import Stored

RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Domain = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class AnyRule(Stored):
    """What every rule has."""

    id: RuleId
    only_domains: tuple[Domain, ...] = ()
    """Applies only to data of these domains, and to data whose domain is not known; to all if empty."""
    why: str = ""
    """For the reader of a refusal."""


class RequireProvenance(AnyRule):
    """
    Trusted keys say how the data was made: up to its writers (`data`), or to trusted models (`whole`).
    """

    kind: Literal["require-provenance"]
    scope: Literal["data", "whole"] = "data"
    all_teachers_named: bool = True
    """Whether signers must claim that no model is missing."""
    filters_proved: bool = False
    """Whether the ledger of each filter must be at hand and agree."""


class RequireAudit(AnyRule):
    """A passed audit of this dataset for this student base."""

    kind: Literal["require-audit"]
    when: Literal["always", "shared-or-unknown"] = "shared-or-unknown"
    """Always, or when a teacher shares the student's initialisation or may."""
    least_evidence: Literal["declared", "attested", "measured"] = "attested"
    """What it takes to believe that no teacher shares it: a producer's bare word is `declared`."""
    suites: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """One of these; any if empty."""
    independent: bool = False
    """Whether the auditor must be another than the producer."""
    least_power: Share | None = None
    """Of the audit's stated power."""
    at_most_logits: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Size of the effect at which that power must hold, or a smaller one."""

    @model_validator(mode="after")
    def _size_needs_power(self) -> Self:
        if self.at_most_logits is not None and self.least_power is None:
            raise ValueError("at_most_logits says where least_power must hold; give both")
        return self


class NoFailedAudit(AnyRule):
    """No audit that counts has failed."""

    kind: Literal["no-failed-audit"]


class RefuseUnvetted(AnyRule):
    """In these domains, model-written rows need a passed audit by an independent auditor."""

    kind: Literal["refuse-unvetted"]
    domains: Annotated[tuple[Domain, ...], Field(min_length=1)]


class LeastFamilies(AnyRule):
    """Teachers of at least so many families wrote the rows."""

    kind: Literal["least-families"]
    families: Annotated[int, Field(ge=1)]


class AuditorDiffers(AnyRule):
    """Whoever audits is not who produced: no key of theirs, nor their organisation."""

    kind: Literal["auditor-differs"]


class LargestAge(AnyRule):
    """Data, audits or both are not older than this."""

    kind: Literal["largest-age"]
    days: Days
    of: Literal["data", "audits", "both"] = "both"


class LargestDose(AnyRule):
    """At most this share of rows may have been written by models."""

    kind: Literal["largest-dose"]
    share: Share


class LineageMeasured(AnyRule):
    """An auditor measured of each teacher whether it shares the student's initialisation."""

    kind: Literal["lineage-measured"]


class Custom(AnyRule):
    """A condition in CEL over `facts`; everything but exactly true refuses."""

    kind: Literal["cel"]
    expression: Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
    refusal: str = ""
    """What a refusal says."""
    even_if_incomplete: bool = False
    """Whether it may pass on data whose chain is incomplete: lists of facts are then empty, and `all()` of them true."""


Rule = Annotated[
    RequireProvenance
    | RequireAudit
    | NoFailedAudit
    | RefuseUnvetted
    | LeastFamilies
    | AuditorDiffers
    | LargestAge
    | LargestDose
    | LineageMeasured
    | Custom,
    Field(discriminator="kind"),
]

KINDS = (
    "require-provenance",
    "require-audit",
    "no-failed-audit",
    "refuse-unvetted",
    "least-families",
    "auditor-differs",
    "largest-age",
    "largest-dose",
    "lineage-measured",
    "cel",
)
"""Of rules."""


class Policy(Stored):
    """A policy: all its rules must hold."""

    schema_: Literal["undertow.policy/1"] = Field(default="undertow.policy/1", alias="schema")
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_once(self) -> Self:
        ids = [rule.id for rule in self.rules]
        twice = [id for id in ids if ids.count(id) > 1]
        if twice:
            raise ValueError(f"the rule '{twice[0]}' is listed twice")
        return self
