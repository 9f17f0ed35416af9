"""Signatures of other makers on model folders: checked against the files, by our own reader."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from undertow.errors import InputError
from undertow.provenance.envelope import authenticated
from undertow.provenance.model_weights import signed_model, weights_digest
from undertow.worlds import folder

KIND = "application/vnd.in-toto+json"
KEY = ec.generate_private_key(ec.SECP256R1())


def sign(model: Path, change: Callable[[dict], object] = lambda table: None) -> tuple[Path, Path]:  # type: ignore[type-arg]
    """A signature as OpenSSF's tool writes it, and the maker's public key."""
    files = {
        path.relative_to(model).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(model.rglob("*"))
        if path.is_file()
    }
    root = hashlib.sha256(b"".join(bytes.fromhex(files[name]) for name in sorted(files)))
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": model.name, "digest": {"sha256": root.hexdigest()}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": ["model.sig", ".git"]},
            "resources": [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in files.items()],
        },
    }  # fmt: skip
    change(statement)
    payload = json.dumps(statement).encode()
    sig = KEY.sign(authenticated(KIND, payload), ec.ECDSA(hashes.SHA256()))
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "x"}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": KIND,
            "signatures": [{"sig": base64.b64encode(sig).decode(), "keyid": ""}],
        },
    }
    signature, public = model / "model.sig", model.parent / "maker.pub"
    signature.write_text(json.dumps(bundle))
    public.write_bytes(
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return signature, public


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of a shipped base."""
    target = tmp_path / "owlet"
    shutil.copytree(folder("owlet-a"), target)
    return target


def test_a_signed_folder_has_our_digest(model: Path) -> None:
    """What comes out is the digest that chains are built on, not the signature's own."""
    found = signed_model(model, *sign(model))

    assert found.digest == weights_digest(model)
    assert found.name == "owlet"


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda m: (m / "config.json").write_text("{}"), "config.json.* is not what was signed"),
        (lambda m: (m / "config.json").unlink(), "config.json.* is missing"),
        (lambda m: (m / "evil.py").write_text("x"), "evil.py.* was not signed"),
        (lambda m: ((m / ".git").mkdir(), (m / ".git" / "a.safetensors").write_text("x")), "was not signed"),
        (lambda m: ((m / "config.json").rename(m / "x"), (m / "tokenizer.json").rename(m / "config.json"), (m / "x").rename(m / "tokenizer.json")), "is not what was signed"),
    ],
    ids=["edited", "missing", "extra", "ignored weights", "swapped names"],
)  # fmt: skip
def test_other_files_are_refused(
    tamper: Callable[[Path], object], message: str, model: Path
) -> None:
    """Edited, missing, new ones; and two that swapped their names, which the subject's digest alone may not show."""
    signature, public = sign(model)
    tamper(model)

    with pytest.raises(InputError, match=message):
        signed_model(model, signature, public)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(predicateType="x"), "predicateType"),
        (lambda t: t["subject"][0]["digest"].update(sha256="0" * 64), "subject's digest"),
        (lambda t: t["predicate"]["resources"].append(t["predicate"]["resources"][0]), "a file twice"),
        (lambda t: t["predicate"]["resources"][0].update(algorithm="md5"), "algorithm"),
        (lambda t: t["predicate"].update(resources=[]), "resources"),
    ],
)  # fmt: skip
def test_other_statements_are_refused(
    change: Callable[[dict], object],
    message: str,
    model: Path,  # type: ignore[type-arg]
) -> None:
    """Each is named."""
    signature, public = sign(model, change)

    with pytest.raises(InputError, match=message):
        signed_model(model, signature, public)


def test_another_key_is_refused(model: Path) -> None:
    """In words of our own: the tool's own message is empty."""
    signature, public = sign(model)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    public.write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    with pytest.raises(InputError, match="not signed by the key"):
        signed_model(model, signature, public)
