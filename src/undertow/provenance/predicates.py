"""
Every kind of statement that is understood, by the URI that names it; and a statement read as its kind.

A step's URI is the `buildType` in SLSA's provenance predicate, a result's is its predicate type. A new kind is an entry
here, and what it names: a schema, and for a step what it needs and what it passes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from undertow.errors import ProvenanceError
from undertow.provenance.data_steps import (
    Collect,
    Generate,
    Mix,
    collected,
    generate_needs,
    generated,
    mix_needs,
    mixed,
)
from undertow.provenance.derived_steps import Edit, Filter, derived, derived_needs
from undertow.provenance.envelope import STATEMENT_TYPE, Envelope
from undertow.provenance.model_steps import (
    FineTune,
    Merge,
    Quantize,
    finetune_needs,
    finetuned,
    remade,
    remake_needs,
)
from undertow.provenance.signed_verdicts import (
    AUDIT,
    LINEAGE,
    AuditResult,
    LineageResult,
    SignedResult,
)
from undertow.provenance.statement import (
    PROVENANCE,
    Provenance,
    Signable,
    Statement,
    moment,
    payload_of,
    read_as,
    read_statement,
)
from undertow.provenance.steps import (
    DataOrigin,
    ModelOrigin,
    Needs,
    Origin,
    Passed,
    StatedStep,
    Walked,
)


def no_needs(step: StatedStep[Any]) -> Needs:
    """Of a step that used nothing."""
    return Needs()


@dataclass(frozen=True)
class StepKind(Generic[Origin]):
    """A kind of step; producers sign it."""

    name: str
    """In documents and commands."""
    schema: type[Signable]
    """Of its `externalParameters`."""
    passes_on: Callable[[StatedStep[Any], Walked], Passed[Origin]]
    """What came of it, once what it needs is known."""
    needs: Callable[[StatedStep[Any]], Needs] = no_needs


@dataclass(frozen=True)
class ResultKind:
    """A kind of result; auditors sign it."""

    name: str
    schema: type[SignedResult]


DATA_STEPS: dict[str, StepKind[DataOrigin]] = {
    "urn:undertow:build:llm-generate/v1": StepKind("generate", Generate, generated, generate_needs),
    "urn:undertow:build:collect/v1": StepKind("collect", Collect, collected),
    "urn:undertow:build:filter/v1": StepKind("filter", Filter, derived, derived_needs),
    "urn:undertow:build:edit/v1": StepKind("edit", Edit, derived, derived_needs),
    "urn:undertow:build:mix/v1": StepKind("mix", Mix, mixed, mix_needs),
}
"""Steps that make datasets."""

MODEL_STEPS: dict[str, StepKind[ModelOrigin]] = {
    "urn:undertow:build:finetune/v1": StepKind("finetune", FineTune, finetuned, finetune_needs),
    "urn:undertow:build:merge/v1": StepKind("merge", Merge, remade, remake_needs),
    "urn:undertow:build:quantize/v1": StepKind("quantize", Quantize, remade, remake_needs),
}
"""Steps that make models."""

STEPS: dict[str, StepKind[DataOrigin] | StepKind[ModelOrigin]] = {**DATA_STEPS, **MODEL_STEPS}

RESULTS: dict[str, ResultKind] = {
    AUDIT: ResultKind("audit", AuditResult),
    LINEAGE: ResultKind("lineage", LineageResult),
}
"""What somebody found of a dataset or a model; `facts` says what it counts for."""


def makes_model(name: str) -> bool:
    """Whether a kind of this name is a step that makes models."""
    return any(kind.name == name for kind in MODEL_STEPS.values())


def is_result(name: str) -> bool:
    """Whether a kind of this name is a result, and no step."""
    return any(kind.name == name for kind in RESULTS.values())


@dataclass(frozen=True)
class Attestation:
    """A statement of a kind that is understood; its signatures are not looked at yet."""

    where: str
    """File and line, for messages."""
    envelope: Envelope
    statement: Statement
    kind: str
    """URI of its kind."""
    content: Provenance | SignedResult
    parameters: Signable | None = None
    """Of a step."""

    @property
    def step(self) -> str:
        """The name of its kind, e.g. `generate` or `audit`."""
        return (STEPS.get(self.kind) or RESULTS[self.kind]).name

    @property
    def at(self) -> str:
        """The time that its signer claims."""
        if isinstance(self.content, Provenance):
            return self.content.run_details.metadata.finished_on
        return self.content.evaluated_at

    @property
    def untimed(self) -> bytes:
        """
        What it says but for when, in canonical JSON: the same of a statement that is made again later.

        Raises:
            ProvenanceError: it names a moment that there is not.
        """
        content = self.content
        if isinstance(content, Provenance):
            details = content.run_details
            when = details.metadata.model_copy(update={"started_on": None, "finished_on": ""})
            timeless = details.model_copy(update={"metadata": when})
            content = content.model_copy(update={"run_details": timeless})
        else:
            lasts = moment(content.valid_until) - moment(content.evaluated_at)
            content = content.model_copy(update={"evaluated_at": "", "valid_until": str(lasts)})
        said = content.model_dump(mode="json", by_alias=True, exclude_none=True)
        return payload_of(self.statement.model_copy(update={"predicate": said}))


def read_attestation(envelope: Envelope, where: str) -> Attestation:
    """
    The statement in an envelope, read as its kind.

    Raises:
        ProvenanceError: it has not the form of one, or is of a kind that is not known here.
    """
    if envelope.payload_type != STATEMENT_TYPE:
        raise ProvenanceError(
            f"{where}: payload of the type {envelope.payload_type!r}; allowed: {STATEMENT_TYPE}"
        )
    statement = read_statement(envelope.payload, where)
    uri, table = statement.predicate_type, statement.predicate
    if uri in RESULTS:
        content = read_as(RESULTS[uri].schema, table, where)
        return Attestation(where, envelope, statement, uri, content)
    if uri != PROVENANCE:
        known = ", ".join((PROVENANCE, *RESULTS))
        raise ProvenanceError(
            f"{where}: a statement of the kind {uri!r} proves nothing here; known: {known}"
        )
    provenance = read_as(Provenance, table, where)
    build = provenance.build_definition
    if build.build_type not in STEPS:
        allowed = ", ".join(STEPS)
        raise ProvenanceError(f"{where}: unknown buildType {build.build_type!r}; known: {allowed}")
    schema = STEPS[build.build_type].schema
    parameters = read_as(schema, build.external_parameters, f"{where}, externalParameters")
    return Attestation(where, envelope, statement, build.build_type, provenance, parameters)
