"""The trust file: whose keys may say what, for how long, and which initial checkpoints need no further proof."""

from __future__ import annotations

import fnmatch
import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from undertow.data.closed import read_toml
from undertow.errors import ProvenanceError
from undertow.provenance.envelope import Envelope, read_envelope, verified_by
from undertow.provenance.keys import public_key, read_public_key
from undertow.provenance.statement import (
    Digest,
    Signable,
    Text,
    Time,
    canonical,
    document_bytes,
    moment,
    read_as,
    signed_json,
    time_text,
)

if TYPE_CHECKING:
    from securesystemslib.signer import Key

TRUST_TYPE = "application/vnd.undertow.trust+json"
"""Payload type of a signed trust file."""

Role = Literal["producer", "auditor", "gate"]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""Of a key: plain ASCII, so that no two look alike."""


class TrustedKey(Signable):
    """One key and what it may sign."""

    id: Name
    pem: Text
    """The public key; in a draft, the path of its file, relative to the draft."""
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    organisation: Text | None = None
    """Whose it is: an auditor of the producer's own organisation is not independent."""
    predicate_types: tuple[Text, ...] = ()
    """Only these; all of its roles if empty."""
    subjects: Annotated[tuple[Text, ...], Field(min_length=1)] = ("*",)
    """Patterns of the names that it may speak of."""
    not_before: Time | None = None
    not_after: Time | None = None
    revoked_at: Time | None = None
    """Nothing that it signed is accepted any more, whenever it says it was: a thief can date as he likes."""


class TrustedModel(Signable):
    """An initial checkpoint that needs no provenance, or a model whose initialisation is known for certain."""

    name: Text
    digest: Digest
    init: Digest | None = None
    """Checkpoint that its training began from; itself if not given."""
    family: Text | None = None
    """For the count of families; the name of its initialisation if not given."""

    @property
    def initialisation(self) -> str:
        """Digest of the checkpoint that it goes back to."""
        return self.init or self.digest


class Thresholds(Signable):
    """Signatures by different keys that a statement needs, by role."""

    producer: Annotated[int, Field(ge=1, le=16)] = 1
    auditor: Annotated[int, Field(ge=1, le=16)] = 1
    gate: Annotated[int, Field(ge=1, le=16)] = 1

    def of(self, role: Role) -> int:
        """How many a role needs."""
        return {"producer": self.producer, "auditor": self.auditor, "gate": self.gate}[role]


class TrustFile(Signable):
    """Everything that is trusted; what is not in here is not."""

    schema_: Literal["undertow.trust/1"] = Field(default="undertow.trust/1", alias="schema")
    version: Annotated[int, Field(ge=1)]
    """Counts up with each change, so that an old file can be told."""
    expires: Time | None = None
    keys: tuple[TrustedKey, ...] = ()
    models: tuple[TrustedModel, ...] = ()
    thresholds: Thresholds = Field(default_factory=Thresholds)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for what, names in (
            ("key", [key.id for key in self.keys]),
            ("model", [model.digest for model in self.models]),
        ):
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ValueError(f"the {what} '{twice[0]}' is listed twice")
        return self


@dataclass(frozen=True)
class Trust:
    """A trust file that may be relied on, with its keys opened."""

    file: TrustFile
    keys: dict[str, Key]
    """Public keys by name."""
    path: str
    digest: str
    """SHA-256 over the file as it was read."""

    def entry(self, name: str) -> TrustedKey:
        """What the file says of a key."""
        return next(key for key in self.file.keys if key.id == name)

    def family(self, model: TrustedModel) -> str:
        """The family of a trusted model: as the file says, or else the name of the checkpoint that it goes back to."""
        first = self.model(model.initialisation)
        return model.family or (first.family or first.name if first else model.initialisation)

    def model(self, digest: str | None) -> TrustedModel | None:
        """The trusted model of a digest, if there is one."""
        return next((model for model in self.file.models if model.digest == digest), None)


def read_trust(
    path: str | Path, *, now: datetime, root: str | Path | None = None, least_version: int = 1
) -> Trust:
    """
    The trust file: a draft in TOML, which is relied on because it was named, or one that a root key signed.

    Args:
        root: public key (PEM) of the root, which a signed file needs.
        least_version: older files are refused.

    Raises:
        ProvenanceError: it cannot be read, is not signed by the root, has expired, or is too old.
    """
    source = Path(path)
    content = document_bytes(source, hint=f"name another, or begin one ({_BEGUN})")
    if source.suffix == ".toml":
        if root is not None:
            raise ProvenanceError(
                f"'{path}' is a draft, which no root key signed",
                hint=f"undertow attest trust {path} --sign root.pem",
            )
        file = draft(source)
    else:
        file = _signed(content, source, root)
    if file.version < least_version:
        raise ProvenanceError(
            f"'{path}' has version {file.version}; allowed: {least_version} or newer",
            hint="fetch the current trust file: an old one may trust keys that were revoked since",
        )
    if file.expires is not None and moment(file.expires, f"'{path}'") <= now:
        raise ProvenanceError(
            f"'{path}' expired at {file.expires}",
            hint=f"undertow attest trust {source.with_suffix('.toml')} --sign root.pem",
        )
    return Trust(file, _opened(file, str(path)), str(path), hashlib.sha256(content).hexdigest())


def draft(path: Path) -> TrustFile:
    """
    A draft in TOML, with the keys' files read into it.

    Raises:
        ProvenanceError: a key or value is wrong.
        ConfigError: it is missing or no TOML.
    """
    tables: dict[str, Any] = read_toml(path)
    for key in tables.get("keys", []) if isinstance(tables.get("keys"), list) else []:
        pem = key.get("pem") if isinstance(key, dict) else None
        if isinstance(pem, str) and "BEGIN" not in pem:
            key["pem"] = document_bytes(path.parent / pem, "public key").decode("ascii", "replace")
    return read_as(TrustFile, _camel(tables), f"'{path}'")


def allowed_subject(key: TrustedKey, name: str) -> bool:
    """Whether a key may speak of something of this name; look-alikes of plain names match no pattern but `*`."""
    return any(
        pattern == "*" or (name.isascii() and fnmatch.fnmatchcase(name, pattern))
        for pattern in key.subjects
    )


_BEGUN = "undertow init --help; what it says: undertow explain provenance#the-trust-file"


def _signed(content: bytes, path: Path, root: str | Path | None) -> TrustFile:
    try:
        envelope: Envelope = read_envelope(content, f"'{path}'")
    except ProvenanceError as error:
        raise ProvenanceError(
            f"{error.message}; allowed: a draft whose name ends in .toml, or what `undertow attest trust` signed",
            hint=f"undertow attest trust DRAFT.toml --sign root.pem, or begin a draft ({_BEGUN})",
        ) from error
    if root is None:
        raise ProvenanceError(
            f"'{path}' is signed, and no root key was given to check it with",
            hint=f"name the public key of its root: --root root.pem.pub (or write a draft: {path.stem}.toml)",
        )
    if envelope.payload_type != TRUST_TYPE:
        raise ProvenanceError(
            f"'{path}' holds a payload of the type '{envelope.payload_type}'; allowed: {TRUST_TYPE}"
        )
    if not verified_by(envelope, {"root": read_public_key(root)}):
        raise ProvenanceError(f"'{path}' is not signed by the root key '{root}'")
    file = read_as(TrustFile, signed_json(envelope.payload, f"'{path}'"), f"'{path}'")
    if file.expires is None:
        raise ProvenanceError(
            f"'{path}' is signed and has no 'expires', so an old one could be shown for ever"
        )
    return file


def _opened(file: TrustFile, path: str) -> dict[str, Key]:
    keys = {entry.id: public_key(entry.pem, f"'{path}', key '{entry.id}'") for entry in file.keys}
    ids: dict[bytes, str] = {}
    for name, key in keys.items():
        content = canonical(key.to_dict())
        if content in ids:
            # Two names for one key would make it its own auditor, and count twice.
            raise ProvenanceError(
                f"'{path}' lists one key under the names '{ids[content]}' and '{name}'"
            )
        ids[content] = name
    return keys


def _camel(value: Any) -> Any:
    """TOML's snake_case keys as the signed file spells them."""
    from pydantic.alias_generators import to_camel

    if isinstance(value, dict):
        return {to_camel(key): _camel(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_camel(entry) for entry in value]
    return time_text(value) if isinstance(value, datetime) else value
