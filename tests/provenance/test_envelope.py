"""Envelopes: what is signed, by whom, and that no other bytes pass."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from securesystemslib.signer import CryptoSigner

from tests.provenance.scene import signer
from undertow.errors import ProvenanceError
from undertow.provenance.envelope import Envelope, Signed, read_envelope, sealed, verified_by

KEYS = {name: signer(name).public_key for name in ("producer", "second", "auditor")}
PAYLOAD = b'{"a":1}'


def test_an_envelope_reads_back_and_names_its_signers() -> None:
    """Several signatures, each by its own key."""
    made = sealed(PAYLOAD, [signer("producer"), signer("second")])
    back = read_envelope(made.line(), "x")

    assert back == made
    assert verified_by(back, KEYS) == {"producer", "second"}


@pytest.mark.parametrize("keyid", ["", "something else"])
def test_a_key_id_is_only_a_hint(keyid: str) -> None:
    """Bundles of other tools have none, or name their keys otherwise."""
    made = sealed(PAYLOAD, [signer("second")])
    other = replace(made, signatures=(Signed(keyid, made.signatures[0].sig),))

    assert verified_by(other, KEYS) == {"second"}


def test_p256_signs_as_well() -> None:
    """The other kind of key that is accepted."""
    key = CryptoSigner.generate_ecdsa()

    assert verified_by(sealed(PAYLOAD, [key]), {"ec": key.public_key}) == {"ec"}


def test_other_bytes_are_not_signed() -> None:
    """Another payload or type, and a signature of nothing."""
    made = sealed(PAYLOAD, [signer("producer")])

    assert verified_by(replace(made, payload=b"{}"), KEYS) == set()
    assert verified_by(replace(made, payload_type="x"), KEYS) == set()
    assert verified_by(Envelope("x", b"", (Signed("", b""),)), KEYS) == set()


def test_a_signature_counts_once() -> None:
    """However often it is repeated, and under whatever id."""
    made = sealed(PAYLOAD, [signer("producer")])
    again = replace(made, signatures=made.signatures * 3 + (Signed("", made.signatures[0].sig),))

    assert verified_by(again, KEYS) == {"producer"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"payload": 3}, "payload is no string"),
        ({"payload": "%"}, "payload is not base64"),
        ({"signatures": [{}]}, "lacks 'sig'"),
        ({"signatures": [{"sig": "", "keyid": 1}]}, "keyid is no string"),
        ({"signatures": ["x"]}, "no object"),
        ({"signatures": {}}, "no list of signatures"),
        ({"signatures": [{"sig": "", "cert": ""}]}, "unknown field 'cert'"),
        ({"payloadType": None}, "payloadType is no string"),
    ],
)
def test_what_is_no_envelope_is_named(change: dict[str, object], message: str) -> None:
    """The field and what is wrong with it."""
    table = json.loads(sealed(PAYLOAD, [signer("producer")]).line()) | change

    with pytest.raises(ProvenanceError, match=message):
        read_envelope(json.dumps(table).encode(), "x")
