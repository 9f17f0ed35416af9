"""
The in-toto statement: what is spoken of, by digest, and what is said of it; every shape closed.

Source: in-toto, "Statement layer specification", version 1. Unlike it, unknown fields are refused, not passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from undertow.data.configuration import sentence
from undertow.errors import ProvenanceError
from undertow.provenance.strict import canonical, parsed
from undertow.results.stored import Stored

PROVENANCE = "https://slsa.dev/provenance/v1"
SUMMARY = "https://slsa.dev/verification_summary/v1"
AUDIT = "urn:undertow:attestation:audit-result/v1"
LINEAGE = "urn:undertow:attestation:lineage-result/v1"

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in lower-case hex."""

Number = Annotated[str, StringConstraints(pattern=r"^-?\d{1,30}(\.\d{1,30})?$")]
"""A decimal number as a string, since readers of JSON round."""

Count = Annotated[str, StringConstraints(pattern=r"^\d{1,18}$")]
"""A whole number, not negative, as a string."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]

Time = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
"""A moment in UTC, to the second."""

DigestSet = dict[Text, Text]
"""Digests by algorithm, e.g. `sha256` or `gitCommit`."""


class Said(Stored):
    """Base of everything signed: closed, and spelled in camelCase as in-toto and SLSA do."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


S = TypeVar("S", bound=Said)


class Subject(Said):
    """What a statement speaks of."""

    name: Text
    digest: DigestSet
    annotations: dict[Text, Text] = Field(default_factory=dict)
    """Of a dataset: `manifest`, `rows`, `rowMerkle`, `rowSet`, `rowCanon`."""


class Resource(Said):
    """Something that a step used or made (in-toto's ResourceDescriptor)."""

    name: Text
    uri: Text | None = None
    digest: DigestSet = Field(default_factory=dict)
    media_type: Text | None = None
    annotations: dict[Text, Text] = Field(default_factory=dict)
    """`role` says what it was used as."""

    @property
    def role(self) -> str:
        """What it was used as; empty where that is not said."""
        return self.annotations.get("role", "")

    @property
    def sha256(self) -> str | None:
        """Its SHA-256, by which chains are walked."""
        return self.digest.get("sha256")


class Statement(Said):
    """A statement with its predicate not looked into yet."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(
        default="https://in-toto.io/Statement/v1", alias="_type"
    )
    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=1024)]
    predicate_type: Text
    predicate: dict[str, Any]

    def payload(self) -> bytes:
        """The bytes that are signed."""
        return payload_of(self)


def payload_of(document: Said) -> bytes:
    """The canonical JSON of a document, without the fields that are not set."""
    return canonical(document.model_dump(mode="json", by_alias=True, exclude_none=True))


def read_statement(payload: bytes, where: str) -> Statement:
    """
    The statement in an envelope's payload.

    Raises:
        ProvenanceError: naming the field, if it is none.
    """
    statement = as_said(Statement, parsed(payload, where), where)
    for subject in statement.subject:
        if not is_digest(subject.digest.get("sha256")):
            raise ProvenanceError(
                f"{where}: the subject {subject.name!r} has no SHA-256 of 64 hex digits"
            )
    return statement


def as_said(model: type[S], table: Mapping[str, Any], where: str) -> S:
    """
    The table as a closed document.

    Raises:
        ProvenanceError: naming the field, its value and what is allowed, for the first fault.
    """
    try:
        # As JSON, strictly: "true" is no truth value, and only the published spelling of a field is one.
        return model.model_validate_json(
            canonical(table), strict=True, by_alias=True, by_name=False
        )
    except ValidationError as error:
        raise ProvenanceError(sentence(error, model, where)) from error


def is_digest(text: object) -> bool:
    """Whether it is a SHA-256 in lower-case hex."""
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")


def spelled(moment: datetime) -> str:
    """A moment as statements write it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str, where: str = "the statement") -> datetime:
    """
    The moment that a string names.

    Raises:
        ProvenanceError: there is no such moment.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise ProvenanceError(
            f"{where} has the time {text!r}; allowed: a real moment like 2026-11-25T08:00:00Z"
        ) from error
