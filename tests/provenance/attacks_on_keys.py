"""Attacks on signatures, on the keys that make them, on the trust file that lists these, and on time."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from tests.provenance.attack_table import attack
from tests.provenance.scene import (
    NOW,
    OTHER,
    Scene,
    pem,
    public_pem,
    raw_line,
    signed_trust,
    signer,
)
from undertow.provenance.envelope import STATEMENT_TYPE, authenticated
from undertow.provenance.signed_verdicts import Claim
from undertow.provenance.statement import moment, time_text
from undertow.provenance.trust import draft, read_trust

ORDER_25519 = 2**252 + 27742317777372353535851937790883648493
ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def signed_otherwise(scene: Scene, name: str, *signatures: bytes, by: str = "producer") -> None:
    """In a statement's place a line with these signatures under a key's id."""
    table = scene.envelope(name)
    keyid = signer(by).public_key.keyid
    table["signatures"] = [
        {"keyid": keyid, "sig": base64.b64encode(sig).decode()} for sig in signatures
    ]
    scene.lines.append(json.dumps(table).encode() + b"\n")


def signature(scene: Scene, name: str, by: str = "producer") -> bytes:
    """The true signature of a statement."""
    content = authenticated(STATEMENT_TYPE, scene.statements[name][0].payload())
    return bytes.fromhex(signer(by).sign(content).signature)


def by_curve(scene: Scene) -> None:
    """The producer's key is one of ECDSA."""
    scene.keys["producer"] = {"roles": ["producer"], "organisation": "lab", "same_as": "ecdsa"}
    for name in ("lessons", "teacher", "raw", "filter"):
        scene.replace(name, scene.statements[name][0], "ecdsa")


def second_key(scene: Scene, text: str | None = None) -> None:
    """A further producer, whose key is this text."""
    entry: dict[str, Any] = {"roles": ["producer"]}
    scene.keys["second"] = entry | ({"pem": text} if text else {})


@cache
def made(kind: str) -> str:
    """A public key of a kind that is not accepted, as PEM."""
    kinds = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
        "ed448": ed448.Ed448PrivateKey.generate,
    }
    return public_pem(kinds[kind]().public_key())


# Signatures.


@attack("problem bad-signature", "CVE-2020-36843")
def ed25519_scalar_beyond_the_order(scene: Scene) -> None:
    """The signature's scalar with the group's order added: the same point, other bytes."""
    true = signature(scene, "raw")
    scalar = int.from_bytes(true[32:], "little") + ORDER_25519
    signed_otherwise(scene, "raw", true[:32] + scalar.to_bytes(32, "little"))


@attack("problem bad-signature", "CVE-2022-21449")
def null_signature_ecdsa(scene: Scene) -> Iterator[None]:
    """An ECDSA signature of two zeros."""
    by_curve(scene)
    yield
    signed_otherwise(scene, "raw", encode_dss_signature(0, 0), by="ecdsa")


@attack("problem bad-signature", "CVE-2022-21449")
def order_as_signature_ecdsa(scene: Scene) -> Iterator[None]:
    """An ECDSA signature whose two numbers are the group's order, which is zero."""
    by_curve(scene)
    yield
    signed_otherwise(scene, "raw", encode_dss_signature(ORDER_P256, ORDER_P256), by="ecdsa")


@attack("problem bad-signature", "RFC 8032, section 5.1.7")
def null_signature_ed25519(scene: Scene) -> None:
    """An ed25519 signature of 64 zero bytes."""
    signed_otherwise(scene, "raw", bytes(64))


@attack("problem threshold", "CVE-2019-14859")
def twin_ecdsa_signature(scene: Scene) -> Iterator[None]:
    """An ECDSA signature and its twin (r, n - s), which is as true, where two keys are asked for."""
    by_curve(scene)
    second_key(scene)
    scene.thresholds["producer"] = 2
    for name in ("lessons", "teacher", "raw", "filter"):
        scene.replace(name, scene.statements[name][0], "ecdsa", "second")
    yield
    true = signature(scene, "raw", "ecdsa")
    r, s = decode_dss_signature(true)
    signed_otherwise(scene, "raw", true, encode_dss_signature(r, ORDER_P256 - s), by="ecdsa")


@attack("problem bad-signature", "CVE-2019-14859")
def bytes_behind_ecdsa_signature(scene: Scene) -> Iterator[None]:
    """An ECDSA signature in DER with bytes behind it."""
    by_curve(scene)
    yield
    signed_otherwise(scene, "raw", signature(scene, "raw", "ecdsa") + b"\0\0", by="ecdsa")


@attack("problem bad-signature", "CVE-2019-14859")
def ecdsa_signature_with_long_lengths(scene: Scene) -> Iterator[None]:
    """An ECDSA signature whose length is spelled in two bytes, as BER allows and DER does not."""
    by_curve(scene)
    yield
    true = signature(scene, "raw", "ecdsa")
    signed_otherwise(scene, "raw", true[:1] + b"\x81" + true[1:], by="ecdsa")


@attack("problem bad-signature", "DSSE 1.0.0, Test vectors")
def ecdsa_signature_without_der(scene: Scene) -> Iterator[None]:
    """An ECDSA signature as two plain numbers side by side."""
    by_curve(scene)
    yield
    r, s = decode_dss_signature(signature(scene, "raw", "ecdsa"))
    signed_otherwise(scene, "raw", r.to_bytes(32, "big") + s.to_bytes(32, "big"), by="ecdsa")


@attack("problem bad-signature", "RFC 8032, section 5.1.7")
def shortened_signature(scene: Scene) -> None:
    """A signature without its last byte."""
    signed_otherwise(scene, "raw", signature(scene, "raw")[:-1])


@attack("problem bad-signature", "RFC 8032, section 5.1.7")
def lengthened_signature(scene: Scene) -> None:
    """A signature with a byte behind it."""
    signed_otherwise(scene, "raw", signature(scene, "raw") + b"\0")


@attack("problem bad-signature", "CVE-2026-23991")
def empty_signature(scene: Scene) -> None:
    """A signature of no bytes."""
    signed_otherwise(scene, "raw", b"")


@attack("problem bad-signature", "CVE-2024-33663")
def signature_of_another_algorithm(scene: Scene) -> Iterator[None]:
    """An ed25519 signature under the id of a key of ECDSA."""
    by_curve(scene)
    yield
    signed_otherwise(scene, "raw", signature(scene, "raw", "stranger"), by="ecdsa")


@attack("problem bad-signature", "CVE-2022-29217")
def public_key_as_a_secret(scene: Scene) -> None:
    """A keyed hash under the text of the public key, which everybody has."""
    import hmac

    content = authenticated(STATEMENT_TYPE, scene.statements["raw"][0].payload())
    secret = pem("producer").encode()
    signed_otherwise(scene, "raw", hmac.digest(secret, content, "sha512"))


@attack("problem bad-signature", "DSSE 1.0.0, Signature definition")
def signature_of_the_bare_payload(scene: Scene) -> None:
    """A signature of the payload alone, without its type and their lengths."""
    payload = scene.statements["raw"][0].payload()
    signed_otherwise(scene, "raw", bytes.fromhex(signer("producer").sign(payload).signature))


@attack("problem bad-signature", "DSSE 1.0.0, Signature definition")
def signature_without_lengths(scene: Scene) -> None:
    """A signature of type and payload side by side, so that the border between them could be moved."""
    payload = scene.statements["raw"][0].payload()
    content = b"DSSEv1 " + STATEMENT_TYPE.encode() + b" " + payload
    signed_otherwise(scene, "raw", bytes.fromhex(signer("producer").sign(content).signature))


@attack("problem bad-signature", "DSSE 1.0.0, Protocol")
def signature_in_hexadecimal(scene: Scene) -> None:
    """A true signature written in hexadecimal, whose letters are base64 of something else."""
    table = scene.envelope("raw")
    sig = base64.b64decode(table["signatures"][0]["sig"])
    table["signatures"][0]["sig"] = sig.hex()
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem unreadable", "CVE-2020-6173")
def too_many_signatures(scene: Scene) -> None:
    """An envelope with 33 signatures, to be tried one after the other."""
    true = signature(scene, "raw")
    signed_otherwise(scene, "raw", *([bytes(64)] * 32), true)


@attack("error signatures in all", "CVE-2020-6173")
def flood_of_signatures(scene: Scene) -> None:
    """Bundles with 20,032 signatures that name no key, each to be tried with every key."""
    table = scene.envelope("audit")
    table["signatures"] = [
        {"keyid": "", "sig": base64.b64encode(bytes([index] * 64)).decode()} for index in range(32)
    ]
    line = json.dumps(table).encode() + b"\n"
    scene.lines += [line] * 626


@attack("problem unknown-signer", "DSSE 1.0.0, KEYID")
def strangers_signature_without_an_id(scene: Scene) -> None:
    """A stranger's signature that names no key, so that each is tried."""
    table = json.loads(raw_line(scene.statements.pop("raw")[0].payload(), ["stranger"]))
    table["signatures"][0]["keyid"] = ""
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem bad-signature", "DSSE 1.0.0, KEYID")
def auditors_signature_under_a_producers_id(scene: Scene) -> None:
    """An auditor's true signature that names the producer's key, so as to borrow its role."""
    true = signature(scene, "raw", "auditor")
    signed_otherwise(scene, "raw", true)


# Keys.


@attack("error allowed: ed25519", "CVE-2024-33663")
def key_of_rsa(scene: Scene) -> Iterator[None]:
    """A key of RSA among those that are trusted."""
    second_key(scene)
    yield
    second_key(scene, made("rsa"))


@attack("error allowed: ed25519", "CVE-2024-33663")
def key_of_another_curve(scene: Scene) -> Iterator[None]:
    """A key of ECDSA over P-384."""
    second_key(scene, pem("ecdsa"))
    yield
    second_key(scene, made("p384"))


@attack("error allowed: ed25519", "CVE-2024-33663")
def key_of_bitcoins_curve(scene: Scene) -> Iterator[None]:
    """A key of ECDSA over secp256k1, as long as one of P-256."""
    second_key(scene, pem("ecdsa"))
    yield
    second_key(scene, made("secp256k1"))


@attack("error allowed: ed25519", "RFC 8032, section 5.2")
def key_of_ed448(scene: Scene) -> Iterator[None]:
    """A key of ed448."""
    second_key(scene)
    yield
    second_key(scene, made("ed448"))


@attack("error small order", "RFC 8032, section 5.1.7")
def key_of_small_order(scene: Scene) -> Iterator[None]:
    """The ed25519 key for which the same 64 bytes are a signature of every message."""
    second_key(scene)
    yield
    point = bytes([1]) + bytes(31)
    _forged(scene, point)


@attack("error small order", "RFC 8032, section 5.1.3")
def key_of_small_order_spelled_otherwise(scene: Scene) -> Iterator[None]:
    """The same point as a number that is larger than the field."""
    second_key(scene)
    yield
    _forged(scene, bytes.fromhex("ee" + "ff" * 30 + "7f"))


def _forged(scene: Scene, key: bytes) -> None:
    """A listed key, and a signature without any secret."""
    second_key(scene, public_pem(ed25519.Ed25519PublicKey.from_public_bytes(key)))
    table = scene.envelope("raw")
    sig = bytes([1]) + bytes(63)
    table["signatures"] = [{"keyid": "", "sig": base64.b64encode(sig).decode()}]
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("error no public key", "CVE-2020-0601")
def key_with_a_curve_of_its_own(scene: Scene) -> Iterator[None]:
    """A key of P-256 that brings the numbers of its curve along, and another generator with them."""
    second_key(scene, pem("ecdsa"))
    yield
    second_key(scene, curve_spelled_out(scene.folder))


def curve_spelled_out(folder: Path) -> str:
    """A public key with explicit parameters, one byte of whose generator is another."""
    private = signer("ecdsa").private_bytes
    told = subprocess.run(
        ["openssl", "ec", "-pubout", "-param_enc", "explicit", "-outform", "DER"],
        input=private,
        capture_output=True,
        check=True,
    )
    generator = bytes.fromhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
    other = generator[:-1] + bytes([generator[-1] ^ 1])
    content = base64.encodebytes(told.stdout.replace(generator, other)).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{content}-----END PUBLIC KEY-----\n"


@attack("error more than one key", "RFC 7468, section 2")
def two_keys_in_one_text(scene: Scene) -> Iterator[None]:
    """A stranger's key before the one that a reader expects."""
    second_key(scene, "# the lab's second key\n" + pem("second"))
    yield
    second_key(scene, pem("stranger") + pem("second"))
    scene.replace("raw", scene.generated(), "stranger")


@attack("error private key", "RFC 7468, section 13")
def private_key_in_public(scene: Scene) -> Iterator[None]:
    """A private key in the trust file, which is handed around."""
    second_key(scene)
    yield
    second_key(scene, signer("second").private_bytes.decode())


@attack("error no public key", "CVE-2022-29217")
def key_in_another_form(scene: Scene) -> Iterator[None]:
    """A key as OpenSSH writes it."""
    second_key(scene)
    yield
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    text = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    second_key(scene, "-----BEGIN OPENSSH-----\n" + text.decode() + "\n-----END OPENSSH-----")


@attack("error no public key", "RFC 7468, section 5")
def certificate_as_a_key(scene: Scene) -> Iterator[None]:
    """A certificate, whose issuer nobody trusts, in the place of a key."""
    second_key(scene)
    yield
    second_key(scene, pem("second").replace("PUBLIC KEY", "CERTIFICATE"))


@attack("error one key under the names", "CVE-2020-15093")
def key_in_two_spellings(scene: Scene) -> Iterator[None]:
    """One key as text with other line ends, under a second name."""
    second_key(scene)
    yield
    second_key(scene, "the second\r\n" + pem("producer").replace("\n", "\r\n"))


@attack("error one key under the names", "CVE-2020-15093")
def point_in_two_spellings(scene: Scene) -> Iterator[None]:
    """One key of ECDSA whose point is written in full, and once more in short, under a second name."""
    by_curve(scene)
    second_key(scene)
    yield
    key = serialization.load_pem_public_key(pem("ecdsa").encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    point = key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    content = base64.encodebytes(head + point).decode()
    second_key(scene, f"-----BEGIN PUBLIC KEY-----\n{content}-----END PUBLIC KEY-----\n")


# The trust file.


def signed_file(scene: Scene, by: str = "root", **changes: Any) -> Path:
    """The scene's trust file, signed."""
    file = draft(scene.trust_file()).model_copy(
        update={"expires": time_text(NOW + timedelta(days=30)), "version": 3} | changes
    )
    path = scene.folder / "trust.json"
    path.write_bytes(signed_trust(file, by))
    return path


def trusted(scene: Scene, path: Path, **more: Any) -> None:
    """The question is whether the trust file is relied on."""
    root = scene.folder / "root.pub"
    root.write_text(pem("root"))
    scene.instead = lambda: read_trust(path, now=scene.now, root=root, **more)


@attack("error version 2; allowed: 3", "CVE-2022-29173")
def rollback_of_trust(scene: Scene) -> Iterator[None]:
    """An older trust file, which lists a key that was revoked since."""
    trusted(scene, signed_file(scene), least_version=3)
    yield
    signed_file(scene, version=2)


@attack("error expired", "TUF specification, freeze attacks")
def frozen_trust(scene: Scene) -> Iterator[None]:
    """The same trust file for ever, so that no revocation is seen."""
    trusted(scene, signed_file(scene))
    yield
    scene.now = NOW + timedelta(days=31)


@attack("error no 'expires'", "GHSA-73jv-h86v-c2vh")
def trust_without_an_end(scene: Scene) -> Iterator[None]:
    """A signed trust file that never expires."""
    trusted(scene, signed_file(scene))
    yield
    signed_file(scene, expires=None)


@attack("error not signed by the root key", "CVE-2020-15163")
def trust_of_another_root(scene: Scene) -> Iterator[None]:
    """A trust file that another root signed."""
    trusted(scene, signed_file(scene))
    yield
    signed_file(scene, by="stranger")


@attack("error not signed by the root key", "TUF specification, key compromise attacks")
def trust_by_a_trusted_key(scene: Scene) -> Iterator[None]:
    """A trust file signed by a producer's key, which the true one lists and which delegates nothing."""
    trusted(scene, signed_file(scene))
    yield
    signed_file(scene, by="producer")


@attack("error not signed by the root key", "TUF specification, key compromise attacks")
def edited_trust(scene: Scene) -> Iterator[None]:
    """A trust file changed after it was signed."""
    path = signed_file(scene)
    trusted(scene, path)
    yield
    table = json.loads(path.read_bytes())
    payload = base64.b64decode(table["payload"]).replace(b'"threshold', b'"Threshold')
    payload = payload.replace(b'"producer":1', b'"producer":2')
    table["payload"] = base64.b64encode(payload).decode()
    path.write_text(json.dumps(table))


@attack("error payload of the type", "DSSE 1.0.0, PAYLOAD_TYPE")
def statement_as_trust(scene: Scene) -> Iterator[None]:
    """A trust file that the root signed as a statement about data."""
    path = signed_file(scene)
    trusted(scene, path)
    yield
    payload = base64.b64decode(json.loads(path.read_bytes())["payload"])
    path.write_bytes(raw_line(payload, ["root"]))


@attack("error no root key was given", "CVE-2023-47122")
def trust_without_its_root(scene: Scene) -> Iterator[None]:
    """A signed trust file, and nothing to check it with: its own keys are not asked."""
    path = signed_file(scene)
    trusted(scene, path)
    yield
    scene.instead = lambda: read_trust(path, now=scene.now)


@attack("error is a draft", "CVE-2020-15163")
def draft_in_the_place_of_signed_trust(scene: Scene) -> Iterator[None]:
    """An unsigned draft where a root was named."""
    trusted(scene, signed_file(scene))
    yield
    trusted(scene, scene.trust_file())


@attack("error thresholds", "GHSA-fphv-w9fq-2525")
def threshold_of_zero(scene: Scene) -> None:
    """A threshold of no signatures."""
    scene.thresholds["producer"] = 0


@attack("error thresholds", "GHSA-fphv-w9fq-2525")
def threshold_below_zero(scene: Scene) -> None:
    """A threshold below zero, which any number is beyond."""
    scene.thresholds["producer"] = -1


@attack("error listed twice", "CVE-2026-6966")
def two_keys_under_one_name(scene: Scene) -> Iterator[None]:
    """Two keys under one name, the second of which would take the place of the first."""
    path = scene.trust_file()
    scene.instead = lambda: read_trust(path, now=NOW)
    yield
    entry = (
        f'[[keys]]\nid = "producer"\npem = {json.dumps(pem("stranger"))}\nroles = ["producer"]\n'
    )
    path.write_text(path.read_text() + "\n" + entry)


@attack("error listed twice", "CVE-2026-6966")
def model_listed_twice(scene: Scene) -> Iterator[None]:
    """A checkpoint listed twice, once as going back to another."""
    scene.models[0]["family"] = "a"
    yield
    scene.models.append(scene.models[0] | {"init": OTHER})


@attack("error extra", "CVE-2023-32076")
def setting_that_nobody_knows(scene: Scene) -> Iterator[None]:
    """A field that turns a check off, in a file that lies beside the data."""
    path = scene.trust_file()
    scene.instead = lambda: read_trust(path, now=NOW)
    yield
    path.write_text('extra = "skip-signatures"\n' + path.read_text())


@attack("problem unknown-signer", "TUF specification, key compromise attacks")
def trust_in_the_bundle(scene: Scene) -> None:
    """A trust file among the statements, signed by a producer, that adds the key which signed the data."""
    scene.keys["stranger"] = {"roles": ["producer"]}
    file = draft(scene.trust_file())
    del scene.keys["stranger"]
    scene.lines.append(signed_trust(file, "producer"))
    scene.replace("raw", scene.generated(), "stranger")


@attack("problem role", "TUF specification, key compromise attacks")
def gates_key_as_an_auditors(scene: Scene) -> Iterator[None]:
    """A gate's key signs an audit."""
    scene.keys["gate"] = {"roles": ["gate", "auditor"]}
    scene.replace("audit", scene.audited(), "gate")
    yield
    scene.keys["gate"] = {"roles": ["gate"]}


@attack("rule audited-if-related", "GHSA-jjgp-whrp-gq8m")
def revoked_auditor(scene: Scene) -> None:
    """An audit by a key that was revoked since."""
    scene.keys["auditor"]["revoked_at"] = time_text(NOW)


@attack("problem subject", "CVE-2024-47534")
def subject_in_other_letters(scene: Scene) -> Iterator[None]:
    """A subject's name in capitals, for a pattern of small letters."""
    scene.keys["producer"]["subjects"] = ["raw.jsonl", "rows*", "les*", "tea*"]
    yield
    scene.changed("raw", lambda t: t["subject"][0].update(name="RAW.jsonl"))


@attack("problem subject", "CVE-2021-41149")
def null_behind_a_subjects_name(scene: Scene) -> Iterator[None]:
    """A subject's name with a null character behind it, where other readers end."""
    scene.keys["producer"]["subjects"] = ["raw.jsonl", "rows*", "les*", "tea*"]
    yield
    scene.changed("raw", lambda t: t["subject"][0].update(name="raw.jsonl\0"))


@attack("problem subject", "GHSA-pmwq-pjrm-6p5r")
def pattern_that_two_readers_read_differently(scene: Scene) -> Iterator[None]:
    """A name that a pattern's brackets leave out in one reading, and let in in another."""
    scene.keys["producer"]["subjects"] = ["[!q]aw.jsonl", "rows*", "les*", "tea*"]
    yield
    scene.keys["producer"]["subjects"] = ["[^q]aw.jsonl", "rows*", "les*", "tea*"]


# Time.


@attack("problem time", "RFC 3161, section 2.4.2")
def clock_beyond_the_skew(scene: Scene) -> Iterator[None]:
    """A statement six minutes ahead, where clocks may differ by five."""
    made = moment(scene.table("audit")["predicate"]["evaluatedAt"])
    scene.replace("audit", scene.audited(evaluated_at=time_text(NOW + timedelta(minutes=4))))
    assert made < NOW
    yield
    scene.replace("audit", scene.audited(evaluated_at=time_text(NOW + timedelta(minutes=6))))


@attack("problem time", "CVE-2026-24122")
def far_future(scene: Scene) -> None:
    """A statement of the year 9999."""
    at = "9999-12-31T23:59:59Z"
    scene.changed("raw", lambda t: _metadata(t).update(finishedOn=at))


@attack("rule no-failed-audit", "TUF specification, fast-forward attacks")
def audit_dated_ahead_of_a_failed_one(scene: Scene) -> None:
    """A passed audit dated tomorrow, so that it would overtake the failed one of today."""
    claim = Claim(metric="transfer", comparator="<", threshold="0.2", passed=False)
    failed = scene.audited(verdict="failed", claims=(claim,), evaluated_at=time_text(NOW))
    scene.statements["failed"] = (failed, ("auditor",))
    scene.replace("audit", scene.audited(evaluated_at=time_text(NOW + timedelta(days=1))))


@attack("problem time", "CVE-2024-55655")
def audit_valid_before_it_was_made(scene: Scene) -> None:
    """An audit whose validity ends before it was made."""
    scene.replace("audit", scene.audited(valid_until=time_text(NOW - timedelta(days=1))))


@attack("problem time", "SLSA provenance v1, metadata")
def step_that_ended_before_it_began(scene: Scene) -> Iterator[None]:
    """A step that ended before it began."""
    start = time_text(NOW - timedelta(days=2))
    scene.changed("raw", lambda t: _metadata(t).update(startedOn=start))
    yield
    payload = json.loads(base64.b64decode(json.loads(scene.lines.pop())["payload"]))
    _metadata(payload)["startedOn"] = time_text(NOW)
    scene.lines.append(raw_line(json.dumps(payload), ["producer"]))


@attack("problem time", "RFC 3339, section 5.7")
def day_that_never_was(scene: Scene) -> None:
    """A statement of the 30th of February."""
    scene.changed("raw", lambda t: _metadata(t).update(finishedOn="2026-02-30T00:00:00Z"))


@attack("problem time", "RFC 3339, appendix D")
def leap_second(scene: Scene) -> None:
    """A statement of a 61st second."""
    scene.changed("raw", lambda t: _metadata(t).update(finishedOn="2026-11-20T23:59:60Z"))


@attack("problem unreadable", "RFC 3339, section 5.6")
def time_in_other_digits(scene: Scene) -> None:
    """A time in the digits of another script, which some readers take for digits."""
    digits = str.maketrans("0123456789", "".join(chr(0x0660 + digit) for digit in range(10)))
    at = scene.table("raw")["predicate"]["runDetails"]["metadata"]["finishedOn"]
    scene.changed("raw", lambda t: _metadata(t).update(finishedOn=at.translate(digits)))


@attack("problem unreadable", "RFC 3339, section 4.3")
def time_of_another_zone(scene: Scene) -> None:
    """A time with an offset, which some readers leave out."""
    scene.changed("raw", lambda t: _metadata(t).update(finishedOn="2026-11-24T08:00:00-12:00"))


@attack("rule age", "TUF specification, freeze attacks")
def audit_that_never_ends(scene: Scene) -> Iterator[None]:
    """An audit of years ago that says it is valid for ever."""
    scene.replace("audit", scene.audited(valid_until="9999-12-31T23:59:59Z"))
    yield
    old = time_text(NOW - timedelta(days=800))
    scene.replace("audit", scene.audited(valid_until="9999-12-31T23:59:59Z", evaluated_at=old))


def _metadata(table: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = table["predicate"]["runDetails"]["metadata"]
    return metadata
