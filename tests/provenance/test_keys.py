"""Keys: made, opened, and refused in words."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.provenance.scene import pem
from undertow.errors import InputError, ProvenanceError
from undertow.provenance.envelope import sealed, verified_by
from undertow.provenance.keys import make_key, open_signer, public_key, read_public_key


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_a_key_that_was_made_signs(kind: str, passphrase: str, tmp_path: Path) -> None:
    """The private file is its owner's alone; the public one verifies what it signs."""
    path = tmp_path / "key.pem"
    public, keyid = make_key(path, kind=kind, passphrase=passphrase)
    signer = open_signer(str(path), passphrase=lambda: passphrase)
    key = read_public_key(public)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key.keyid == keyid
    assert verified_by(sealed(b"x", [signer]), {"k": key}) == {"k"}


def test_a_wrong_passphrase_is_said_to_be_wrong(tmp_path: Path) -> None:
    """A wrong one, and none."""
    path = tmp_path / "key.pem"
    make_key(path, passphrase="right")
    with pytest.raises(ProvenanceError, match=r"passphrase of the key .* is wrong"):
        open_signer(str(path), passphrase=lambda: "wrong")

    with pytest.raises(ProvenanceError, match="no passphrase was given"):
        open_signer(str(path))


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """Neither half of it."""
    make_key(tmp_path / "key.pem")

    with pytest.raises(ProvenanceError, match="never overwritten"):
        make_key(tmp_path / "key.pem")


def test_a_key_goes_where_it_can_be_written(tmp_path: Path) -> None:
    """A folder that is not there is not made for a secret; the help names a place that does."""
    with pytest.raises(InputError, match=r"cannot write '.*producer\.pem'") as caught:
        make_key(tmp_path / "nowhere" / "producer.pem")

    assert "undertow attest key producer.pem" in caught.value.hint


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    """A missing file, other bytes, a key of another kind, a key service without its public key."""
    (tmp_path / "text").write_text("hello")
    large = rsa.generate_private_key(65537, 2048)
    (tmp_path / "rsa.pem").write_bytes(
        large.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    for path, message in (
        (str(tmp_path / "missing"), "no such private key"),
        (str(tmp_path / "text"), "holds no private key"),
        (str(tmp_path / "rsa.pem"), "allowed: ed25519, ECDSA over P-256"),
        ("awskms:alias/x", "its public key is needed"),
    ):
        with pytest.raises(ProvenanceError, match=message):
            open_signer(path)


def test_a_public_key_of_an_unknown_algorithm_is_refused() -> None:
    """A changed letter names another algorithm, which the library has an error of its own for."""
    text = pem("producer").replace("MCowBQYDK2Vw", "MCowBQYDKPVw")

    with pytest.raises(ProvenanceError, match="no public key in PEM of a kind that is known"):
        public_key(text, "x")


def test_a_private_key_is_no_public_one(tmp_path: Path) -> None:
    """Given in a public key's place it is refused, and never shown."""
    make_key(tmp_path / "key.pem")
    content = (tmp_path / "key.pem").read_text()
    with pytest.raises(ProvenanceError) as caught:
        public_key(content, "trust.toml")
    rsa_public = rsa.generate_private_key(65537, 2048).public_key()
    with pytest.raises(ProvenanceError, match="rsassa"):
        public_key(rsa_public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "x")

    assert "private key where a public one belongs" in caught.value.message
    assert content.splitlines()[1] not in caught.value.message


def test_a_file_can_be_named_as_a_uri(tmp_path: Path) -> None:
    """securesystemslib's own scheme, with the public key beside it."""
    public, keyid = make_key(tmp_path / "key.pem")

    assert open_signer(f"file2:{tmp_path / 'key.pem'}", public=public).public_key.keyid == keyid
