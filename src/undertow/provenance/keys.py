"""Keys: private ones from a PEM file or a key service, public ones from PEM; ed25519, or ECDSA over P-256."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from undertow.errors import InputError, MissingExtraError, ProvenanceError
from undertow.provenance.statement import document_bytes

if TYPE_CHECKING:
    from securesystemslib.signer import Key, Signer

SCHEMES = ("ed25519", "ecdsa-sha2-nistp256")
"""Of signatures that are made and accepted."""

SERVICES = ("awskms", "azurekms", "gcpkms", "hsm", "hv", "tkey", "gnupg", "file2")
"""URI schemes of keys that stay where they are; each needs securesystemslib's extra of its service."""

_TORSION = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "00" * 32,
    "01" + "00" * 31,
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
)
SMALL_ORDER = {
    f"{text[:62]}{int(text[62:], 16) ^ sign:02x}" for text in _TORSION for sign in (0, 0x80)
}
"""
The ed25519 keys whose multiples are no more than eight: a signature of nothing fits every message in eight, or all.

Source: libsodium, the table of `ge25519_has_small_order`; the last two are other spellings of points.
"""

Passphrase = Callable[[], str]


def open_signer(
    key: str, *, public: str | Path | None = None, passphrase: Passphrase = lambda: ""
) -> Signer:
    """
    What signs with a key: a PEM file (PKCS #8), or the URI of a key service with its public key.

    Args:
        public: the PEM file of the public key; needed with a URI.
        passphrase: is asked if the PEM file is encrypted.

    Raises:
        ProvenanceError: there is no such key, the passphrase is wrong, or it is of another kind.
        MissingExtraError: securesystemslib is not installed.
    """
    scheme, colon, _ = key.partition(":")
    if colon and scheme in SERVICES:
        return _service(key, public)
    from_pem = _serialization().load_pem_private_key
    content = _read(Path(key), "private key")
    try:
        private = _loaded(from_pem, content, None)
    except TypeError:
        private = _encrypted(from_pem, content, passphrase(), key)
    if private is None:
        raise ProvenanceError(
            f"'{key}' holds no private key in PEM (PKCS #8)",
            hint="undertow attest key producer.pem",
        )
    try:
        signer: Signer = _signers().CryptoSigner(private)
    except ValueError as error:
        raise ProvenanceError(f"'{key}' is a key of another kind; allowed: {_kinds()}") from error
    _refuse_scheme(signer.public_key, key)
    return signer


def public_key(pem: str | bytes, where: str, *, schemes: Sequence[str] = SCHEMES) -> Key:
    """
    The public key that PEM text holds, of one of the schemes.

    Raises:
        ProvenanceError: it holds none, or one of another kind.
        MissingExtraError: securesystemslib is not installed.
    """
    from_pem = _serialization().load_pem_public_key
    from cryptography.exceptions import UnsupportedAlgorithm

    content = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    if b"PRIVATE KEY" in content:
        raise ProvenanceError(
            f"{where} holds a private key where a public one belongs",
            hint="keep it secret, and name its .pub file",
        )
    if content.count(b"-----BEGIN") > 1:
        raise ProvenanceError(
            f"{where} holds more than one key, of which only the first would count"
        )
    try:
        key: Key = _signers().SSlibKey.from_crypto(from_pem(content))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ProvenanceError(
            f"{where} holds no public key in PEM of a kind that is known; allowed: {_kinds()}"
        ) from error
    _refuse_scheme(key, where, schemes)
    if key.keyval["public"] in SMALL_ORDER:
        raise ProvenanceError(
            f"{where} is a key of small order, for which anybody can make signatures"
        )
    return key


def read_public_key(path: str | Path, *, schemes: Sequence[str] = SCHEMES) -> Key:
    """
    The public key in a PEM file, of one of the schemes.

    Raises:
        ProvenanceError: as `public_key`, or there is no such file.
    """
    return public_key(_read(Path(path), "public key"), f"'{path}'", schemes=schemes)


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> tuple[Path, str]:
    """
    Write a new private key, readable by its owner only, and `PATH.pub` beside it; returns that path and the key id.

    Raises:
        ProvenanceError: one of the files is there already.
        MissingExtraError: securesystemslib is not installed.
    """
    from cryptography.hazmat.primitives import serialization

    signers = _signers()
    made = (
        signers.CryptoSigner.generate_ed25519
        if kind == "ed25519"
        else signers.CryptoSigner.generate_ecdsa
    )
    signer = made()
    private = serialization.load_pem_private_key(signer.private_bytes, None)
    cover: Any = (
        serialization.BestAvailableEncryption(passphrase.encode("utf-8"))
        if passphrase
        else serialization.NoEncryption()
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cover
    )
    shown = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    public = path.with_name(f"{path.name}.pub")
    for target in (path, public):
        if target.exists():
            raise ProvenanceError(f"'{target}' is there already; a key is never overwritten")
    for target, content, mode in ((path, secret, 0o600), (public, shown, 0o644)):
        _write_new(target, content, mode)
    return public, signer.public_key.keyid


def _write_new(path: Path, content: bytes, mode: int) -> None:
    # Never over an existing key, and never readable by others, not even for a moment.
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError as error:
        raise ProvenanceError(f"'{path}' is there already; a key is never overwritten") from error
    except OSError as error:
        raise InputError(
            f"cannot write '{path}': {error.strerror}",
            hint="name a place in a folder that is there and that you may write to: undertow attest key producer.pem",
        ) from error
    with open(handle, "wb") as file:
        file.write(content)


def _service(uri: str, public: str | Path | None) -> Signer:
    if public is None:
        raise ProvenanceError(
            f"the key '{uri}' stays in its service, so its public key is needed too",
            hint="name its PEM file with --public-key",
        )
    signers = _signers()
    try:
        signer: Signer = signers.Signer.from_priv_key_uri(uri, read_public_key(public))
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise ProvenanceError(
            f"cannot open the key '{uri}': {type(error).__name__}: {error}"
        ) from error
    return signer


def _loaded(from_pem: Any, content: bytes, password: bytes | None) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return from_pem(content, password)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _encrypted(from_pem: Any, content: bytes, passphrase: str, key: str) -> Any:
    if not passphrase:
        raise ProvenanceError(
            f"the key '{key}' is encrypted and no passphrase was given",
            hint="export UNDERTOW_PASSPHRASE, or type the command in a terminal",
        )
    private = _loaded(from_pem, content, passphrase.encode("utf-8"))
    if private is None:
        raise ProvenanceError(f"the passphrase of the key '{key}' is wrong")
    return private


def _read(path: Path, what: str) -> bytes:
    return document_bytes(path, what, hint="undertow attest key producer.pem")


def _refuse_scheme(key: Key, where: str, schemes: Sequence[str] = SCHEMES) -> None:
    if key.scheme not in schemes:
        raise ProvenanceError(f"{where} is a key of the scheme '{key.scheme}'; allowed: {_kinds()}")


def _kinds() -> str:
    return "ed25519, ECDSA over P-256"


def _signers() -> Any:
    try:
        import cryptography  # noqa: F401
        from securesystemslib import signer
    except ImportError as error:
        raise MissingExtraError(
            "securesystemslib[crypto]", "provenance", purpose="signing"
        ) from error
    return signer


def _serialization() -> Any:
    _signers()
    from cryptography.hazmat.primitives import serialization

    return serialization
