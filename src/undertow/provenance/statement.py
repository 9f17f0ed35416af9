"""
The in-toto statement: what is spoken of, by digest, and what is said of it; every shape closed.

Its JSON is read so that every reader sees the same: no key twice, no number that readers round.
Source: in-toto, "Statement layer specification", version 1. Unlike it, unknown fields are refused, not passed over.
Steps are stated with SLSA's provenance predicate, version 1.
"""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from undertow.data.closed import Stored, sentence
from undertow.data.strict_json import tables_of
from undertow.errors import InputError, ProvenanceError

LARGEST = 1 << 24
"""Bytes of one signed document, at most."""

DEEPEST = 32
"""Levels of nesting, at most."""

EXACT = 2**53 - 1
"""The largest whole number that every reader of JSON keeps (RFC 8259, section 6)."""


PROVENANCE = "https://slsa.dev/provenance/v1"
"""Type of the predicate that states steps."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in lower-case hex."""

Number = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,30}(\.[0-9]{1,30})?$")]
"""A decimal number as a string, since readers of JSON round; in the digits of ASCII alone."""

Count = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]
"""A whole number, not negative, as a string."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]

Time = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")
]
"""A moment in UTC, to the second."""

DigestSet = dict[Text, Text]
"""Digests by algorithm, e.g. `sha256` or `gitCommit`."""


class Signable(Stored):
    """Base of everything signed: closed, and spelled in camelCase as in-toto and SLSA do."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


S = TypeVar("S", bound=Signable)


class StatementSubject(Signable):
    """What a statement speaks of."""

    name: Text
    digest: DigestSet
    annotations: dict[Text, Text] = Field(default_factory=dict)
    """Of a dataset: `manifest`, `rows`, `rowMerkle`, `rowSet`, `rowCanon`."""


class Resource(Signable):
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


class Statement(Signable):
    """A statement with its predicate not looked into yet."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(
        default="https://in-toto.io/Statement/v1", alias="_type"
    )
    subject: Annotated[tuple[StatementSubject, ...], Field(min_length=1, max_length=1024)]
    predicate_type: Text
    predicate: dict[str, Any]

    def payload(self) -> bytes:
        """The bytes that are signed."""
        return payload_of(self)


def payload_of(document: Signable) -> bytes:
    """The canonical JSON of a document, without the fields that are not set."""
    return canonical(document.model_dump(mode="json", by_alias=True, exclude_none=True))


class Builder(Signable):
    """Who carried a step out."""

    id: Text
    version: dict[Text, Text] = Field(default_factory=dict)


class Metadata(Signable):
    """When a step ran."""

    invocation_id: Text | None = None
    started_on: Time | None = None
    finished_on: Time


class RunDetails(Signable):
    """How a step was carried out."""

    builder: Builder
    metadata: Metadata
    byproducts: tuple[Resource, ...] = ()


class BuildDefinition(Signable):
    """What a step was asked, and what it used."""

    build_type: Text
    external_parameters: dict[str, Any]
    internal_parameters: dict[Text, Text] = Field(default_factory=dict)
    resolved_dependencies: tuple[Resource, ...] = ()


class Provenance(Signable):
    """SLSA's provenance predicate, version 1."""

    build_definition: BuildDefinition
    run_details: RunDetails


def read_statement(payload: bytes, where: str) -> Statement:
    """
    The statement in an envelope's payload.

    Raises:
        ProvenanceError: naming the field, if it is none.
    """
    statement = read_as(Statement, signed_json(payload, where), where)
    digests: set[str] = set()
    for subject in statement.subject:
        if not is_digest(subject.digest.get("sha256")):
            raise ProvenanceError(
                f"{where}: the subject {subject.name!r} has no SHA-256 of 64 hex digits"
            )
        if subject.digest["sha256"] in digests:
            # Readers would take the annotations of the first, of the last, or of both.
            raise ProvenanceError(f"{where} speaks of the digest of {subject.name!a} twice")
        digests.add(subject.digest["sha256"])
    return statement


def read_as(model: type[S], table: Mapping[str, Any], where: str) -> S:
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
    except (ValueError, TypeError, RecursionError) as error:
        raise ProvenanceError(f"{where} holds what JSON has no word for: {error}") from error


def signed_json(content: bytes, where: str) -> dict[str, Any]:
    """
    The JSON object that the bytes hold; `where` names them in the error.

    Raises:
        ProvenanceError: it is too large, no UTF-8, no JSON object, has a key twice, is nested too deeply, or holds a
            fraction, a number beyond 2^53 or half a surrogate pair.
    """
    if len(content) > LARGEST:
        raise ProvenanceError(f"{where} has {len(content)} bytes; allowed: at most {LARGEST}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProvenanceError(f"{where} is not UTF-8 (byte {error.start})") from error
    try:
        table: dict[str, Any] = tables_of(text, Path(where.strip("'")), again="")
    except InputError as error:
        raise ProvenanceError(error.message) from error
    _refuse_inexact(table, where, 1)
    return table


def document_bytes(
    path: Path, what: str = "file", *, largest: int = LARGEST, hint: str = ""
) -> bytes:
    """
    The bytes of a file that somebody hands over; a pipe or a device could give them for ever.

    Args:
        what: it is, in messages.

    Raises:
        ProvenanceError: it is missing, no ordinary file, cannot be read, or has more than `largest` bytes.
    """
    try:
        # A pipe that nobody writes into is not waited for.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ProvenanceError(f"the {what} '{path}' is no ordinary file")
            # What grows while it is read is beyond its size, too.
            content = file.read(largest + 1) if status.st_size <= largest else b""
    except FileNotFoundError as error:
        raise ProvenanceError(f"no such {what}: '{path}'", hint=hint) from error
    except (OSError, ValueError) as error:  # a name with a zero byte in it is a ValueError
        why = getattr(error, "strerror", None) or error
        raise ProvenanceError(f"cannot read the {what} '{path}': {why}") from error
    if max(status.st_size, len(content)) > largest:
        raise ProvenanceError(f"the {what} '{path}' has more than {largest} bytes")
    return content


def canonical(value: object) -> bytes:
    """
    The one spelling of a value that is signed and hashed: sorted keys, no spaces, ASCII.

    >>> canonical({"b": ["é"], "a": 1})
    b'{"a":1,"b":["\\\\u00e9"]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _refuse_inexact(value: object, where: str, depth: int) -> None:
    if depth > DEEPEST:
        raise ProvenanceError(f"{where} is nested more than {DEEPEST} levels deep")
    if isinstance(value, float):
        raise ProvenanceError(
            f'{where} holds the number {value!r}; allowed: fractions as strings, e.g. "0.7"'
        )
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT:
        raise ProvenanceError(
            f"{where} holds the number {value}, which other readers would round; allowed: a string"
        )
    if isinstance(value, str):
        _refuse_surrogate(value, where)
    elif isinstance(value, dict):
        for key, entry in value.items():
            _refuse_surrogate(key, where)
            _refuse_inexact(entry, where, depth + 1)
    elif isinstance(value, list):
        for entry in value:
            _refuse_inexact(entry, where, depth + 1)


def _refuse_surrogate(text: str, where: str) -> None:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ProvenanceError(f"{where} holds half a surrogate pair, which no encoding can write")


def folded(text: str) -> str:
    """
    A name as it is compared: without the case, the width and the spaces that tell nothing apart.

    >>> folded(" \uff2dediCine ")
    'medicine'
    """
    return unicodedata.normalize("NFKC", text).casefold().strip()


def is_digest(text: object) -> bool:
    """Whether it is a SHA-256 in lower-case hex."""
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")


def time_text(moment: datetime) -> str:
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
