"""
DSSE envelopes: a payload, its type, and signatures over both; read strictly, verified by any of the keys asked for.

Source: secure-systems-lab, "DSSE: Dead Simple Signing Envelope", version 1.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from undertow.errors import ProvenanceError
from undertow.provenance.statement import canonical, signed_json

if TYPE_CHECKING:
    from securesystemslib.signer import Key, Signer

STATEMENT_TYPE = "application/vnd.in-toto+json"
"""Payload type of an in-toto statement."""

SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""Media type of Sigstore's bundles."""

_BUNDLE_TYPES = "application/vnd.dev.sigstore.bundle"

MOST_SIGNATURES = 32
"""Of one envelope."""


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature of an envelope."""

    keyid: str
    """A hint only: it is not signed, and may be empty."""
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its signatures; nothing of it is verified yet."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signed, ...]

    @property
    def digest(self) -> str:
        """SHA-256 in hex over the payload, by which a summary pins it."""
        return sha256(self.payload).hexdigest()

    def line(self) -> bytes:
        """The envelope as one line of a bundle."""
        return (
            canonical(
                {
                    "payload": base64.b64encode(self.payload).decode("ascii"),
                    "payloadType": self.payload_type,
                    "signatures": [
                        {"keyid": each.keyid, "sig": base64.b64encode(each.sig).decode("ascii")}
                        for each in self.signatures
                    ],
                }
            )
            + b"\n"
        )


def sigstore_bundles(envelope: Envelope) -> list[bytes]:
    """The envelope as Sigstore bundles of version 0.3, which other tools read: one a signature, since each may hold one."""
    return [
        _sigstore_bundle(Envelope(envelope.payload_type, envelope.payload, (signature,)))
        for signature in envelope.signatures
    ]


def _sigstore_bundle(envelope: Envelope) -> bytes:
    hint = envelope.signatures[0].keyid
    content = {
        "mediaType": SIGSTORE_BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": signed_json(envelope.line(), "the envelope"),
    }
    return canonical(content) + b"\n"


def authenticated(payload_type: str, payload: bytes) -> bytes:
    """
    The bytes that are signed (PAE): the type and the payload, each behind its length.

    >>> authenticated("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sealed(
    payload: bytes, signers: Iterable[Signer], payload_type: str = STATEMENT_TYPE
) -> Envelope:
    """The payload signed by each of the signers."""
    content = authenticated(payload_type, payload)
    signatures = (signer.sign(content) for signer in signers)
    return Envelope(
        payload_type,
        payload,
        tuple(Signed(each.keyid, bytes.fromhex(each.signature)) for each in signatures),
    )


def read_envelope(content: bytes, where: str) -> Envelope:
    """
    The envelope that the bytes hold, by itself or in a Sigstore bundle, of which nothing else is relied on.

    Raises:
        ProvenanceError: it is no strict JSON, lacks a field, has one that is unknown, is not base64, or has no signature.
    """
    table = signed_json(content, where)
    if "mediaType" in table:
        table = _in_bundle(table, where)
    _refuse_keys(table, ("payload", "payloadType", "signatures"), where)
    entries = table["signatures"]
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_SIGNATURES:
        count = len(entries) if isinstance(entries, list) else "no list of"
        raise ProvenanceError(f"{where} has {count} signatures; allowed: 1 to {MOST_SIGNATURES}")
    kind = table["payloadType"]
    if not isinstance(kind, str):
        raise ProvenanceError(f"{where}: payloadType is no string")
    payload = decoded(table["payload"], f"{where}: payload")
    return Envelope(kind, payload, tuple(_signature(entry, where) for entry in entries))


def _in_bundle(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What certificates and logs in a bundle say is not asked: keys are those of the trust file."""
    kind, inner = table["mediaType"], table.get("dsseEnvelope")
    if not isinstance(kind, str) or not kind.startswith(_BUNDLE_TYPES):
        raise ProvenanceError(f"{where} has the mediaType {kind!a}; allowed: {SIGSTORE_BUNDLE}")
    if not isinstance(inner, dict):
        raise ProvenanceError(f"{where} is a Sigstore bundle without a dsseEnvelope: no statement")
    return inner


def verified_by(envelope: Envelope, keys: Mapping[str, Key]) -> frozenset[str]:
    """
    Names of the keys that really signed the envelope.

    A key id only says which key to try first: bundles of other tools leave it empty.

    Args:
        keys: the keys to try, by name.
    """
    content = authenticated(envelope.payload_type, envelope.payload)
    by_id = {key.keyid: name for name, key in keys.items()}
    signers: set[str] = set()
    for signature in envelope.signatures:
        hinted = by_id.get(signature.keyid)
        names = [hinted] if hinted is not None else [name for name in keys if name not in signers]
        match = next((name for name in names if _holds(keys[name], signature.sig, content)), None)
        if match is not None:
            signers.add(match)
    return frozenset(signers)


def decoded(text: object, where: str) -> bytes:
    """
    The bytes of a base64 string, standard or URL-safe.

    Raises:
        ProvenanceError: it is none.
    """
    if not isinstance(text, str):
        raise ProvenanceError(f"{where} is no string")
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProvenanceError(f"{where} is not base64") from error


def _holds(key: Key, sig: bytes, content: bytes) -> bool:
    from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
    from securesystemslib.signer import Signature

    try:
        key.verify_signature(Signature(key.keyid, sig.hex()), content)
    except (
        UnverifiedSignatureError,
        VerificationError,
    ):  # neither is the other's parent everywhere
        return False
    return True


def _signature(entry: object, where: str) -> Signed:
    if not isinstance(entry, dict):
        raise ProvenanceError(f"{where} has a signature that is no object")
    _refuse_keys({"keyid": "", **entry}, ("keyid", "sig"), f"{where}: a signature")
    keyid = entry.get("keyid", "")
    if not isinstance(keyid, str):
        raise ProvenanceError(f"{where}: a signature's keyid is no string")
    return Signed(keyid, decoded(entry["sig"], f"{where}: sig"))


def _refuse_keys(table: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    missing = [key for key in allowed if key not in table]
    unknown = [key for key in table if key not in allowed]
    if missing or unknown:
        what = f"lacks '{missing[0]}'" if missing else f"has the unknown field {unknown[0]!r}"
        raise ProvenanceError(f"{where} {what}; allowed: {', '.join(allowed)}")
