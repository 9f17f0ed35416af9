"""What `attest export` writes is read back, and what lies in a folder of attestations and is passed over is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.provenance.scene import NOW, Scene, signing
from undertow.errors import ProvenanceError
from undertow.provenance.bundle import add_lines, bundle_path, bundles_in, read_bundles, read_line
from undertow.provenance.envelope import Envelope, sigstore_bundles
from undertow.provenance.signed_steps import sign_into
from undertow.provenance.trust import read_trust
from undertow.provenance.verify import VerifyRequest, verify


def exported(scene: Scene, folder: Path) -> list[Envelope]:
    """The scene's statements, each by all who signed it, as Sigstore bundles in a folder."""
    bundle = scene.folder / "all.intoto.jsonl"
    for made, names in scene.statements.values():
        sign_into(bundle, [made], signing(*names))
    envelopes = [attestation.envelope for attestation in read_bundles([bundle])[0]]
    bundle.unlink()
    folder.mkdir()
    for number, envelope in enumerate(envelopes):
        for part, content in enumerate(sigstore_bundles(envelope)):
            (folder / f"{number}-{part}.sigstore.json").write_bytes(content)
    return envelopes


def test_exported_statements_verify_a_dataset(tmp_path: Path) -> None:
    """The whole chain from a folder of Sigstore bundles alone, without a file beside the data."""
    scene = Scene(tmp_path)
    exported(scene, tmp_path / "sigstore")
    trust = read_trust(scene.trust_file(), now=NOW)
    document = verify(VerifyRequest(scene.data, bundles=(tmp_path / "sigstore",)), trust, NOW)

    assert not bundle_path(scene.data).exists()
    assert document.verdict == "verified", document.conclusion
    assert document.problems == ()


def test_no_signature_is_lost(tmp_path: Path) -> None:
    """A statement with two signatures is two bundles, and one statement with both again."""
    scene = Scene(tmp_path)
    scene.statements = {"raw": (scene.statements["raw"][0], ("producer", "auditor"))}
    [envelope] = exported(scene, tmp_path / "sigstore")
    [attestation], problems = read_bundles(bundles_in(tmp_path / "sigstore")[0])

    assert problems == []
    assert len(list((tmp_path / "sigstore").iterdir())) == 2
    assert attestation.envelope == envelope


@pytest.mark.parametrize("name", ["a.sigstore.json", "a.intoto.jsonl"])
def test_a_bundle_of_another_tool_is_read(name: str, tmp_path: Path) -> None:
    """On many lines, with certificates and logs, of another version; in a file of its own or on a line."""
    scene = Scene(tmp_path)
    [envelope, *_] = exported(scene, tmp_path / "sigstore")
    table: dict[str, Any] = json.loads(sigstore_bundles(envelope)[0])
    table["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2"
    table["verificationMaterial"] = {"x509CertificateChain": {"certificates": []}, "later": [1]}
    indent = 2 if name.endswith("json") and not name.endswith("jsonl") else None
    (tmp_path / name).write_text(json.dumps(table, indent=indent))
    [attestation], problems = read_bundles([tmp_path / name])

    assert problems == []
    assert attestation.envelope == envelope


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mediaType": "application/json"}, "mediaType 'application/json'; allowed"),
        ({"mediaType": 3}, "mediaType 3"),
        ({"dsseEnvelope": None, "messageSignature": {}}, "without a dsseEnvelope"),
        ({"dsseEnvelope": []}, "without a dsseEnvelope"),
        ({"dsseEnvelope": {"payload": ""}}, "lacks 'payloadType'"),
    ],
)
def test_what_is_no_statement_is_named(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    """Other documents, signatures over files, envelopes that lack a field."""
    [envelope, *_] = exported(Scene(tmp_path), tmp_path / "sigstore")
    table = json.loads(sigstore_bundles(envelope)[0]) | change

    with pytest.raises(ProvenanceError, match=message):
        read_line(json.dumps(table).encode(), "'x'")


def test_what_is_passed_over_in_a_folder_is_named(tmp_path: Path) -> None:
    """Beside bundles of both kinds; ledgers are looked for by name, and are no fault."""
    scene = Scene(tmp_path)
    exported(scene, tmp_path / "sigstore")
    for name in ("README.md", "old.json", "rows.jsonl.ledger.jsonl", "b.intoto.jsonl"):
        (tmp_path / "sigstore" / name).touch()
    (tmp_path / "sigstore" / "more").mkdir()
    trust = read_trust(scene.trust_file(), now=NOW)
    document = verify(VerifyRequest(scene.data, bundles=(tmp_path / "sigstore",)), trust, NOW)
    [problem] = document.problems

    assert document.verdict == "verified"
    assert problem.message.endswith("bundles: 'README.md', 'more', 'old.json'")
    assert str(tmp_path / "sigstore" / "b.intoto.jsonl") in document.attestations


def test_nothing_is_added_to_a_sigstore_bundle(tmp_path: Path) -> None:
    """It holds one signature."""
    with pytest.raises(ProvenanceError, match="a Sigstore bundle by its name"):
        add_lines(tmp_path / "a.sigstore.json", [])
