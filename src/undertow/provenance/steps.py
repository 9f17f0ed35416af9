"""
What a step's function gets and gives: the step, what is known of all that it used, and what it passes on.

These functions are pure: the walk has been through everything that a step used before it asks what came of it. Where a
step or its list of what was used has a problem, the walk sees to it that nothing of it counts as complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator

from undertow.provenance.identity import ROW_SET
from undertow.provenance.ledger import LedgerFile
from undertow.provenance.statement import (
    Digest,
    Provenance,
    Resource,
    Signable,
    Statement,
    StatementSubject,
    Text,
    is_digest,
)
from undertow.results.provenance_documents import Problem

P = TypeVar("P", bound=Signable)
Origin = TypeVar("Origin", "DataOrigin", "ModelOrigin")


@dataclass(frozen=True)
class StatedStep(Generic[P]):
    """One signed statement that a step made a dataset or a model."""

    kind: str
    """Its name in documents, e.g. `generate`."""
    where: str
    """Bundle and line."""
    statement: Statement
    subject: StatementSubject
    """The dataset or model in question."""
    provenance: Provenance
    parameters: P

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.kind} of '{self.subject.name}'"

    def used_as(self, role: str) -> list[Resource]:
        """What it used as this."""
        used = self.provenance.build_definition.resolved_dependencies
        return [resource for resource in used if resource.role == role]

    def problem(
        self, message: str, *, expected: str = "", actual: str = "", todo: str = ""
    ) -> Problem:
        """That the statement does not agree with itself, or with those about what it used."""
        return Problem(
            id="inconsistent",
            link=self.label,
            message=message,
            expected=expected,
            found=actual,
            todo=todo,
        )

    def disagreement(self, what: str, stated: str, known: int | None) -> tuple[Problem, ...]:
        """A problem unless the number that the step states is the one that the data's own statement has."""
        if known is not None and int(stated) == known:
            return ()
        return (
            self.problem(
                f"{what}: the step and the data's own statement differ",
                expected=stated,
                actual="not stated" if known is None else str(known),
                todo="ask the producer for a corrected statement",
            ),
        )


@dataclass(frozen=True)
class DataUsed:
    """A dataset that a step used."""

    digest: str | None
    name: str


@dataclass(frozen=True)
class ModelUsed:
    """A model that a step used."""

    digest: str | None
    name: str
    quiet: bool = False
    """Whether a model without statements is no problem, only unknown."""


@dataclass(frozen=True)
class Needs:
    """What has to be known before a step's function is asked."""

    used: tuple[DataUsed | ModelUsed, ...] = ()
    """Is walked, in this order."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the list of what was used."""
    ledger: bool = False
    """Whether the step's ledger is read, where it is at hand."""


@dataclass(frozen=True)
class Walked:
    """What is known of everything that a step needs."""

    data: Mapping[str | None, DataOrigin]
    """By digest."""
    models: Mapping[str | None, ModelOrigin]
    consistent: bool
    """Whether nothing was wrong with the list of what was used."""
    ledger: LedgerFile | None = None
    """None where it is not at hand."""


@dataclass(frozen=True)
class Passed(Generic[Origin]):
    """What a step passes on, and what a reader should know of it."""

    origin: Origin
    about: dict[str, str]
    """Words for the chain that is shown."""
    problems: tuple[Problem, ...] = ()
    proof: str = ""
    """What was recomputed, in words."""


class Parent(Signable):
    """A model that another was made of."""

    digest: Digest
    relation: Literal["finetune", "adapter", "merge", "quantized", "distilled"]


class Lineage(Signable):
    """What is known of a model's initialisation."""

    init: Digest | Literal["unknown"] = "unknown"
    parents: tuple[Parent, ...] = ()
    evidence: Literal["declared", "attested", "fingerprint"] = "declared"


class GeneratingModel(Signable):
    """One model that wrote rows."""

    name: Text
    access: Literal["weights", "api"]
    provider: Text | None = None
    model_id: Text
    revision: Text | None = None
    """Commit of the model's repository."""
    api_snapshot: Text | None = None
    system_fingerprints: tuple[Text, ...] = ()
    weights_digest: Digest | None = None
    why_null: Text | None = None
    """Why there is no digest of the weights, e.g. that they are behind an API."""
    adapters: tuple[Digest, ...] = ()
    quantization: Text | None = None
    tokenizer: Digest | None = None
    chat_template: Digest | None = None
    lineage: Lineage = Field(default_factory=Lineage)

    @model_validator(mode="after")
    def _digest_or_reason(self) -> Self:
        if (self.weights_digest is None) == (self.why_null is None):
            raise ValueError(
                f"the model '{self.name}' needs weightsDigest, or whyNull that says why there is none; not both"
            )
        return self


@dataclass(frozen=True)
class ModelOrigin:
    """A model at the end of its own chain."""

    inits: frozenset[str] = frozenset()
    """Checkpoints that it goes back to."""
    families: frozenset[str] = frozenset()
    known: bool = False
    """Whether these are all of them."""
    complete: bool = False
    """Whether every step and every dataset behind it is attested."""
    writers: tuple[RowWriter, ...] = ()
    """Models that wrote what it was trained on."""

    def incomplete(self) -> ModelOrigin:
        """The same, with a gap in its chain."""
        return replace(self, complete=False)

    def joined(self, other: ModelOrigin) -> ModelOrigin:
        """What holds of a model made of both."""
        return ModelOrigin(
            self.inits | other.inits,
            self.families | other.families,
            self.known and other.known,
            self.complete and other.complete,
            each_once((*self.writers, *other.writers)),
        )


@dataclass(frozen=True)
class RowWriter:
    """A model that wrote rows, or judged them."""

    model: GeneratingModel
    origin: ModelOrigin
    role: Literal["teacher", "filter", "upstream"]

    def upstream(self) -> RowWriter:
        """The same, one model further away."""
        return replace(self, role="upstream")


def each_once(writers: Iterable[RowWriter]) -> tuple[RowWriter, ...]:
    """The writers without those of whom the same is known: the ways that lead to one may be more than can be counted."""
    known: dict[object, RowWriter] = {}
    for who in writers:
        origin = who.origin
        key = (who.model, who.role, origin.inits, origin.families, origin.known)
        known.setdefault(key, who)
    return tuple(known.values())


@dataclass(frozen=True)
class DataOrigin:
    """A dataset at the end of its own chain."""

    complete: bool = False
    """Whether every step up to the writers is attested."""
    whole: bool = False
    """Whether the writers' own chains are complete as well."""
    rows: int | None = None
    row_set: str | None = None
    written: float = 1.0
    """Largest share of model-written rows."""
    written_known: bool = False
    domains: frozenset[str] = frozenset()
    writers: tuple[RowWriter, ...] = ()
    named_all: bool = False
    """Whether the signers claim to have named all models."""
    producers: frozenset[str] = frozenset()
    organisations: frozenset[str] = frozenset()
    interventions: frozenset[str] = frozenset()
    proved: bool = True
    """Whether each filter's ledger was checked."""
    times: tuple[datetime, ...] = ()

    def incomplete(self) -> DataOrigin:
        """The same, with a gap in its chain."""
        return replace(self, complete=False, whole=False)

    def joined(self, other: DataOrigin) -> DataOrigin:
        """What holds where two statements speak of one dataset: the worse of both."""
        return replace(
            together((self, other)),
            rows=self.rows if self.rows == other.rows else None,
            row_set=self.row_set if self.row_set == other.row_set else None,
            written=max(self.written, other.written),
        )


def together(parts: Iterable[DataOrigin]) -> DataOrigin:
    """What holds of rows taken from all the parts; rows and shares are left to the caller."""
    parts = tuple(parts)
    return DataOrigin(
        complete=bool(parts) and all(part.complete for part in parts),
        whole=bool(parts) and all(part.whole for part in parts),
        written_known=bool(parts) and all(part.written_known for part in parts),
        domains=frozenset().union(*(part.domains for part in parts)),
        writers=each_once(writer for part in parts for writer in part.writers),
        named_all=bool(parts) and all(part.named_all for part in parts),
        producers=frozenset().union(*(part.producers for part in parts)),
        organisations=frozenset().union(*(part.organisations for part in parts)),
        interventions=frozenset().union(*(part.interventions for part in parts)),
        proved=all(part.proved for part in parts),
        times=tuple(dict.fromkeys(time for part in parts for time in part.times)),
    )


def judge(
    name: str, resource: Resource | None, models: Mapping[str | None, ModelOrigin]
) -> RowWriter:
    """A model that decided what stays, with what is known of it."""
    digest = judge_digest(resource)
    model = GeneratingModel(
        name=name,
        access="weights" if digest else "api",
        model_id=name,
        weights_digest=digest,
        why_null=None if digest else "the step's statement has none",
    )
    return RowWriter(model, models.get(digest, ModelOrigin()), "filter")


def judge_digest(resource: Resource | None) -> str | None:
    """The digest that a step states of such a model."""
    return resource.sha256 if resource and is_digest(resource.sha256) else None


def stated_rows(subject: StatementSubject) -> int | None:
    """The number of rows that a statement has of a dataset."""
    text = subject.annotations.get("rows", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def stated_set(subject: StatementSubject) -> str | None:
    """The row set that a statement has of a dataset."""
    text = subject.annotations.get("rowSet")
    if subject.annotations.get("manifest") == ROW_SET and text != subject.digest["sha256"]:
        # Rows in no file are named by their set: another one beside it is a contradiction.
        return None
    return text if is_digest(text) else None
