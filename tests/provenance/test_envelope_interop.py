"""Envelopes as another implementation sees them: Sigstore's own verifier for JavaScript."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import CryptoSigner

from undertow.provenance.envelope import sealed, sigstore_bundles

NODE = shutil.which("node")
SCRIPT = """
const { bundleFromJSON } = require('@sigstore/bundle');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');
const [key, ...bundles] = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const root = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const trust = toTrustMaterial(root, () => ({
  publicKey: require('crypto').createPublicKey(key), validFor: () => true }));
trust.publicKey = () => ({
  publicKey: require('crypto').createPublicKey(key), validFor: () => true });
const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
console.log(JSON.stringify(bundles.map((text) => {
  try { verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(text)))); return 'verified'; }
  catch (error) { return error.code || String(error); }
})));
"""


def reason() -> str:
    """Why the verifier cannot be asked here; empty if it can."""
    if NODE is None:
        return "node is not installed"
    found = subprocess.run(
        [NODE, "-e", "require.resolve('@sigstore/verify'); require.resolve('@sigstore/bundle')"],
        capture_output=True,
        check=False,
    )
    if found.returncode:
        return "node finds no @sigstore/verify and @sigstore/bundle (npm install, then NODE_PATH=node_modules)"
    return ""


def pem(signer: CryptoSigner) -> str:
    """A signer's public key."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(signer.private_bytes, None).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.skipif(bool(reason()), reason=reason())
@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_another_implementation_agrees(kind: str, tmp_path: Path) -> None:
    """What we signed verifies, and one changed letter of the payload does not."""
    make = CryptoSigner.generate_ed25519 if kind == "ed25519" else CryptoSigner.generate_ecdsa
    signer = make()
    payload = b'{"_type":"https://in-toto.io/Statement/v1"}'
    good = sigstore_bundles(sealed(payload, [signer]))[0].decode()
    table = json.loads(good)
    other = json.loads(sigstore_bundles(sealed(payload.replace(b"v1", b"v2"), [signer]))[0])
    table["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]
    assert NODE is not None
    done = subprocess.run(
        [NODE, "-e", SCRIPT],
        input=json.dumps([pem(signer), good, json.dumps(table)]),
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout) == ["verified", "SIGNATURE_ERROR"]
