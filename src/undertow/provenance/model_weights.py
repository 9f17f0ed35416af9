"""
The digest of a model's weights, and signatures of third parties on model folders, checked against the files here.

Source of the signatures: OpenSSF, "Model Signing Specification", version 1.0, with keys of elliptic curves. The digest
that it gives a model does not bind file names, so chains are never built on it: what comes out of here is undertow's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from undertow.data.files import model_digest, model_parts, pickled_in
from undertow.data.gguf_header import SUFFIX, read_header
from undertow.errors import ModelError, ProvenanceError
from undertow.provenance.envelope import SIGSTORE_BUNDLE, STATEMENT_TYPE, read_envelope, verified_by
from undertow.provenance.identity import manifest_of
from undertow.provenance.keys import read_public_key
from undertow.provenance.statement import Digest, canonical, document_bytes, signed_json

SCHEMES = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ed25519")
"""Of keys that are accepted for third parties' signatures."""

_LONGEST_HEADER = 100_000_000
"""Bytes, the limit of the format's own readers."""

_NO_HEADER = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(OverflowError, RecursionError),
)
"""What JSON that is no header ends in: an end at infinity, thousands of levels, or another shape."""


def weights_digest(path: str | Path) -> str | None:
    """
    SHA-256 in hex as `models.digest` makes it; None for a model that is not here.

    Raises:
        ModelError: a folder without safetensors, with pickled weights beside them, or with a file that is cut off;
            a GGUF file that is not whole; an adapter that is not here.
    """
    base, *adapters = (Path(part) for part in model_parts(path))
    if base.suffix == SUFFIX and base.is_file():
        read_header(base, str(base))
    elif base.is_dir():
        _refuse_partial(base)
    else:
        return None
    for folder in adapters:
        _refuse_partial(folder)
    return model_digest(path)


def _refuse_partial(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"))
    gguf = sorted(str(file) for file in folder.glob("*.gguf"))
    if gguf and not files:
        raise ModelError(
            f"'{folder}' is a folder of GGUF files, which are models one by one",
            hint=f"name the file: {gguf[0]}",
        )
    if not folder.is_dir():
        raise ModelError(
            f"no such folder: '{folder}'", hint="name the base, then its adapters: BASE+ADAPTER"
        )
    if not files:
        raise ModelError(f"'{folder}' holds no .safetensors, so its weights have no digest")
    pickled = pickled_in(folder)
    if pickled:
        raise ModelError(
            f"'{folder}' holds '{pickled[0]}' beside its .safetensors, which a digest of these does not cover",
            hint="remove the weights that are not safetensors",
        )
    for file in files:
        _refuse_cut_off(file)


def _refuse_cut_off(file: Path) -> None:
    """
    Compare a file's size with what its header promises.

    Source of the format: safetensors, "Format": 8 bytes of length, a JSON header, then the tensors without gaps.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            raise ModelError(f"'{file}' is no safetensors file, or is cut off in its header")
        try:
            header = json.loads(stream.read(length))
            ends = [
                tensor["data_offsets"][1]
                for name, tensor in header.items()
                if name != "__metadata__"
            ]
            promised = 8 + length + max(map(int, ends), default=0)
        except _NO_HEADER as error:
            raise ModelError(f"'{file}' has no readable safetensors header") from error
    if promised != size:
        raise ModelError(f"'{file}' has {size} bytes; its header promises {promised}")


class _Foreign(BaseModel):
    # Others' documents: what is not looked at may be there.
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Resource(_Foreign):
    name: Annotated[str, Field(min_length=1, max_length=1024)]
    algorithm: Literal["sha256"]
    digest: Digest


class _Serialization(_Foreign):
    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = ()


class _Predicate(_Foreign):
    serialization: _Serialization
    resources: Annotated[tuple[_Resource, ...], Field(min_length=1, max_length=100_000)]


class _ModelSubject(_Foreign):
    name: str
    digest: dict[str, str]


class _Statement(_Foreign):
    predicate_type: Literal["https://model_signing/signature/v1.0"] = Field(alias="predicateType")
    subject: Annotated[tuple[_ModelSubject, ...], Field(min_length=1, max_length=1)]
    predicate: _Predicate


@dataclass(frozen=True)
class SignedModel:
    """A model folder whose files are the ones that a key signed."""

    name: str
    digest: str
    """undertow's digest of the weights, for a trust file."""
    files: int


def signed_model(folder: Path, signature: Path, key: Path) -> SignedModel:
    """
    Check a folder against a signature by a key.

    Raises:
        ProvenanceError: the bundle cannot be read, the key did not sign it, or a file is changed, missing or new.
        ModelError: the folder's weights have no digest.
        DataError: the folder holds links, or names that cannot be told apart.
    """
    where = f"'{signature}'"
    envelope = _envelope(document_bytes(signature, "signature"), where)
    if not verified_by(envelope, {"key": read_public_key(key, schemes=SCHEMES)}):
        raise ProvenanceError(
            f"{where} is not signed by the key '{key}'",
            hint="ask the model's maker for the right public key",
        )
    statement = _statement(envelope.payload, where)
    _refuse_other_files(folder, signature, statement, where)
    digest = weights_digest(folder)
    if digest is None:
        raise ProvenanceError(f"no such model folder: '{folder}'")
    return SignedModel(statement.subject[0].name, digest, len(statement.predicate.resources))


def _envelope(content: bytes, where: str) -> Any:
    table = signed_json(content, where)
    if table.get("mediaType") != SIGSTORE_BUNDLE:
        raise ProvenanceError(
            f"{where} is no Sigstore bundle of version 0.3: {table.get('mediaType')!r}"
        )
    held = table.get("dsseEnvelope")
    if not isinstance(held, Mapping):
        raise ProvenanceError(f"{where} holds no DSSE envelope")
    envelope = read_envelope(canonical(held), where)
    if envelope.payload_type != STATEMENT_TYPE:
        raise ProvenanceError(f"{where} holds a payload of the type {envelope.payload_type!r}")
    return envelope


def _statement(payload: bytes, where: str) -> _Statement:
    table = signed_json(payload, where)
    try:
        return _Statement.model_validate_json(json.dumps(table), strict=True)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise ProvenanceError(
            f"{where}: '{place}' is no such field of a model signature: {fault['msg']}"
        ) from error


def _refuse_other_files(folder: Path, signature: Path, statement: _Statement, where: str) -> None:
    resources = {each.name: each.digest for each in statement.predicate.resources}
    if len(resources) < len(statement.predicate.resources):
        raise ProvenanceError(f"{where} lists a file twice")
    root = hashlib.sha256(b"".join(bytes.fromhex(resources[name]) for name in sorted(resources)))
    if statement.subject[0].digest.get("sha256") != root.hexdigest():
        raise ProvenanceError(f"{where}: the subject's digest is not that of the files it lists")
    present = {entry.path: entry.sha256 for entry in manifest_of(folder).entries}
    ignored = {path.strip("/") for path in statement.predicate.serialization.ignore_paths}
    ignored |= {signature.name} if signature.parent == folder else set()
    extra = [path for path in present if path not in resources and not _under(path, ignored)]
    for what, names in (
        ("is missing", [name for name in resources if name not in present]),
        (
            "is not what was signed",
            [n for n in resources if n in present and present[n] != resources[n]],
        ),
        ("was not signed", extra),
    ):
        if names:
            raise ProvenanceError(
                f"the file '{sorted(names)[0]}' in '{folder}' {what} ({len(names)} such files)",
                hint="fetch the model again",
            )


def _under(path: str, ignored: set[str]) -> bool:
    # Weights are never ignored, whatever the signature says: they are what is signed for.
    return not path.endswith(".safetensors") and any(
        path == each or path.startswith(f"{each}/") for each in ignored
    )
