"""The trust file: drafts, signed files, and what is refused before anything is trusted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.provenance.scene import NOW, Scene, pem, signed_trust
from undertow.errors import InputError, ProvenanceError
from undertow.provenance.statement import time_text
from undertow.provenance.trust import TrustFile, draft, read_trust


def root(folder: Path, name: str = "gate") -> Path:
    """The file of a root's public key."""
    path = folder / "root.pem.pub"
    path.write_text(pem(name))
    return path


def test_a_signed_file_is_what_its_draft_said(tmp_path: Path) -> None:
    """Signed by the root, it reads back with its keys."""
    file = draft(Scene(tmp_path).trust_file()).model_copy(
        update={"expires": time_text(NOW + timedelta(days=1))}
    )
    path = tmp_path / "trust.json"
    path.write_bytes(signed_trust(file, "gate"))
    trust = read_trust(path, now=NOW, root=root(tmp_path))

    assert trust.file == file
    assert set(trust.keys) == {"producer", "auditor"}


@pytest.mark.parametrize(
    ("signer", "expires", "version", "message"),
    [
        ("stranger", 1, 1, "not signed by the root key"),
        ("gate", -1, 1, "expired at"),
        ("gate", None, 1, "has no 'expires'"),
        ("gate", 1, 2, "has version 1; allowed: 2 or newer"),
    ],
)
def test_a_file_that_cannot_be_relied_on_is_refused(
    signer: str, expires: int | None, version: int, message: str, tmp_path: Path
) -> None:
    """Another root, an end that has passed or is missing, and an old version shown again."""
    until = None if expires is None else time_text(NOW + timedelta(days=expires))
    path = tmp_path / "trust.json"
    path.write_bytes(signed_trust(TrustFile(version=1, expires=until), signer))

    with pytest.raises(ProvenanceError, match=message):
        read_trust(path, now=NOW, root=root(tmp_path), least_version=version)


@pytest.mark.parametrize("content", [b"\x00\xff\xfe", b"", b"version = 1", b"{}"])
def test_a_file_that_nobody_signed_is_not_asked_for_its_root(
    content: bytes, tmp_path: Path
) -> None:
    """What is neither a draft nor an envelope is called so, and the help says how to make either."""
    path = tmp_path / "trust.jsonl"
    path.write_bytes(content)
    with pytest.raises(
        ProvenanceError, match=r"allowed: a draft whose name ends in \.toml"
    ) as caught:
        read_trust(path, now=NOW)

    assert "is signed" not in caught.value.message
    assert "undertow attest trust DRAFT.toml" in caught.value.hint


@pytest.mark.parametrize("name", ["no.toml", "no.json"])
def test_a_file_that_is_not_there_can_be_begun(name: str, tmp_path: Path) -> None:
    """The help names the command that writes one."""
    with pytest.raises(ProvenanceError, match="no such file") as caught:
        read_trust(tmp_path / name, now=NOW)

    assert "undertow init" in caught.value.hint


def test_a_signed_file_needs_its_root_and_a_draft_has_none(tmp_path: Path) -> None:
    """Each is refused the other way round."""
    path = tmp_path / "trust.json"
    path.write_bytes(signed_trust(TrustFile(version=1, expires=time_text(NOW)), "gate"))
    with pytest.raises(ProvenanceError, match="no root key was given"):
        read_trust(path, now=NOW)

    with pytest.raises(ProvenanceError, match="which no root key signed"):
        read_trust(Scene(tmp_path).trust_file(), now=NOW, root=root(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 0", "version"),
        ("versoin = 1", "unknown key 'versoin'"),
        ("version = true", "version"),
        ("version = 1\n[[keys]]\nid = 'a'\nroles = ['king']\npem = 'x.pub'", "no such public key"),
        ("version = 1\n[[keys]]\nid = '\u0430'\nroles = ['gate']\npem = 'BEGIN'", "keys.0.id"),
        ("version = 1\n[[keys]]\nid = 'a'\nroles = ['king']\npem = 'BEGIN'", "roles"),
        ("version = 1\n[[models]]\nname = 'm'\ndigest = 'abc'", "digest"),
        ("version = ", "not valid TOML"),
        ("version = inf", "no word for"),
        ("version = 2026-11-25", "no word for"),
        ("version = 1\n[[keys]]\nid = 'a'\nroles = ['gate']\npem = \"x\\u0000\"", "null byte"),
    ],
)
def test_faults_of_a_draft_are_named(text: str, message: str, tmp_path: Path) -> None:
    """The key, and a name of a key that only looks plain."""
    path = tmp_path / "trust.toml"
    path.write_text(text)

    with pytest.raises(InputError, match=message):
        read_trust(path, now=NOW)
