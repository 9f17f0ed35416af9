"""Attacks on what is written: JSON, envelopes, bundles, statements, replays, chains, and words that rules look for."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from tests.provenance.attack_table import attack
from tests.provenance.attacks import by_two, parameters
from tests.provenance.scene import (
    BASE,
    NOW,
    OTHER,
    TEACHER,
    Scene,
    pem,
    raw_line,
    rows,
    teacher,
    write_rows,
)
from undertow.provenance.bundle import bundle_path
from undertow.provenance.envelope import SIGSTORE_BUNDLE
from undertow.provenance.model_steps import FineTune, Quantize
from undertow.provenance.signed_steps import dataset, statement, step_statement, used
from undertow.provenance.signed_verdicts import LINEAGE, LineageResult, StoredEvidence, Verifier
from undertow.provenance.statement import Statement, StatementSubject, time_text
from undertow.provenance.steps import Lineage
from undertow.provenance.trust import TRUST_TYPE

RFC = "RFC 8259, section {}"
PARSING = "DSSE 1.0.0, Protocol"


def line(scene: Scene, text: str | bytes) -> None:
    """A line of the bundle."""
    scene.lines.append((text.encode() if isinstance(text, str) else text) + b"\n")


# JSON.


@attack("problem unreadable", RFC.format(2))
def trailing_data(scene: Scene) -> None:
    """A second object behind the envelope on its line."""
    text = json.dumps(scene.envelope("raw"))
    line(scene, text + text)


@attack("problem unreadable", RFC.format(2))
def trailing_data_in_the_payload(scene: Scene) -> None:
    """A second statement behind the first one in a payload."""
    text = json.dumps(scene.table("raw"))
    scene.forged("raw", text + text)


@attack("problem unreadable", RFC.format("8.1"))
def byte_order_mark(scene: Scene) -> None:
    """A byte order mark before the envelope."""
    line(scene, b"\xef\xbb\xbf" + json.dumps(scene.envelope("raw")).encode())


@attack("problem unreadable", RFC.format("8.1"))
def other_encoding(scene: Scene) -> None:
    """A payload in UTF-16."""
    scene.forged("raw", json.dumps(scene.table("raw")).encode("utf-16"))


@attack("problem unreadable", RFC.format(4))
def field_in_two_cases(scene: Scene) -> None:
    """The field `Payload` beside `payload`, which readers without case take for it."""
    table = scene.envelope("raw")
    line(scene, json.dumps(table | {"Payload": "e30="}))


@attack("problem unreadable", RFC.format("8.3"))
def key_twice_in_two_spellings(scene: Scene) -> None:
    """A key twice in the statement, the second time with an escaped letter."""
    text = json.dumps(scene.table("raw"))
    scene.forged("raw", text[:-1] + ', "predicate\\u0054ype": "x"}')


@attack("problem unreadable", RFC.format(4))
def key_twice_deep_inside(scene: Scene) -> None:
    """A key twice in the list of teachers, six levels down."""
    text = json.dumps(scene.table("raw"))
    scene.forged("raw", text.replace('"modelId"', '"modelId": "people", "modelId"'))


@attack("problem unreadable", RFC.format("8.3"))
def keys_of_equal_looks(scene: Scene) -> None:
    """A field `digest` beside one with a full-width letter."""
    scene.changed("raw", lambda t: t["subject"][0].update({"digest".replace("d", "\uff44"): {}}))


@attack("problem unreadable", RFC.format(2))
def comment_in_a_statement(scene: Scene) -> None:
    """A comment, which some readers pass over."""
    scene.forged("raw", json.dumps(scene.table("raw")).replace("{", "{/* ok */", 1))


@attack("problem unreadable", RFC.format(7))
def control_character_in_a_string(scene: Scene) -> None:
    """A line end inside a string, not escaped."""
    text = json.dumps(scene.table("raw"))
    scene.forged("raw", text.replace('"lab/teacher"', '"lab/\nteacher"'))


@attack("problem unreadable", RFC.format(6))
def number_with_an_exponent(scene: Scene) -> None:
    """A seed of 1e2, which is a fraction to some readers."""
    text = json.dumps(scene.table("raw")).replace('"18446744073709551615"', "1e2")
    scene.forged("raw", text)


@attack("problem unreadable", RFC.format(6))
def number_of_many_digits(scene: Scene) -> None:
    """A number of 5,000 digits, for which some readers take minutes."""
    text = json.dumps(scene.table("raw")).replace('"18446744073709551615"', "9" * 5000)
    scene.forged("raw", text)


@attack("problem unreadable", "in-toto Statement v1, subject")
def digits_of_another_script(scene: Scene) -> None:
    """A count of rows in full-width digits."""
    scene.changed("filter", lambda t: parameters(t).update(rowsIn="\uff14\uff10"))


@attack("problem unreadable", "CVE-2023-30551")
def oversized_document(scene: Scene) -> None:
    """A statement of 17 MB."""
    scene.changed("raw", lambda t: t["subject"][0]["annotations"].update(note="x" * 17_000_000))


# Envelopes and bundles.


@attack("problem unreadable", PARSING)
def payload_without_padding(scene: Scene) -> None:
    """Base64 whose padding is left out."""
    payload = json.dumps(scene.table("raw"))
    scene.forged("raw", payload + " " * (1 - len(payload) % 3))
    table = json.loads(scene.lines.pop())
    assert table["payload"].endswith("=")
    line(scene, json.dumps(table | {"payload": table["payload"].rstrip("=")}))


@attack("problem unreadable", PARSING)
def payload_with_a_line_end(scene: Scene) -> None:
    """Base64 with a line end in it, as mail has it."""
    table = scene.envelope("raw")
    table["payload"] = table["payload"][:76] + "\n" + table["payload"][76:]
    line(scene, json.dumps(table))


@attack("problem unreadable", PARSING)
def payload_type_in_capitals(scene: Scene) -> None:
    """A truly signed statement under a payload type in capitals."""
    scene.forged("raw", scene.statements["raw"][0].payload(), kind="Application/vnd.in-toto+json")


@attack("problem unreadable", PARSING)
def payload_type_with_a_parameter(scene: Scene) -> None:
    """A truly signed statement under a payload type with a character set behind it."""
    kind = "application/vnd.in-toto+json; charset=utf-8"
    scene.forged("raw", scene.statements["raw"][0].payload(), kind=kind)


@attack("problem unreadable", "DSSE 1.0.0, PAYLOAD_TYPE")
def statement_signed_as_trust(scene: Scene) -> None:
    """A statement that was signed as if it were a trust file."""
    scene.forged("raw", scene.statements["raw"][0].payload(), kind=TRUST_TYPE)


@attack("problem unreadable", "CVE-2026-39395")
def payload_that_is_no_statement(scene: Scene) -> None:
    """A truly signed payload that is no JSON at all."""
    scene.forged("raw", b"this data is fine")


@attack("problem unreadable", "CVE-2026-39395")
def list_in_the_place_of_a_statement(scene: Scene) -> None:
    """A truly signed list of statements."""
    scene.forged("raw", json.dumps([scene.table("raw")]))


@attack("problem unreadable", "CVE-2023-33199")
def predicate_of_nothing(scene: Scene) -> None:
    """A truly signed statement whose predicate is null."""
    scene.changed("raw", lambda t: t.update(predicate=None))


@attack("problem unreadable", "CVE-2023-33199")
def subject_of_nothing(scene: Scene) -> None:
    """A truly signed statement whose subject is a list of null."""
    scene.changed("raw", lambda t: t.update(subject=[None]))


@attack("problem unreadable", PARSING)
def empty_payload(scene: Scene) -> None:
    """A truly signed payload of no bytes."""
    scene.forged("raw", b"")


def sigstore(scene: Scene, name: str, by: str = "producer", **material: Any) -> dict[str, Any]:
    """A statement in a Sigstore bundle with this material, which nothing here relies on."""
    inner = json.loads(raw_line(scene.statements.pop(name)[0].payload(), [by]))
    return {
        "mediaType": SIGSTORE_BUNDLE,
        "verificationMaterial": material,
        "dsseEnvelope": inner,
    }


@attack("problem unknown-signer", "CVE-2026-22703")
def log_entry_of_another_statement(scene: Scene) -> None:
    """A stranger's statement in a bundle with a true log entry, of something else."""
    entry = {"logIndex": "1", "integratedTime": "1764000000", "canonicalizedBody": "e30="}
    line(scene, json.dumps(sigstore(scene, "raw", "stranger", tlogEntries=[entry])))


@attack("problem unknown-signer", "CVE-2026-44310")
def bundle_without_certificates(scene: Scene) -> None:
    """A stranger's statement in a bundle with an empty set of certificates."""
    chain: dict[str, Any] = {"certificates": []}
    line(scene, json.dumps(sigstore(scene, "raw", "stranger", x509CertificateChain=chain)))


@attack("problem unknown-signer", "CVE-2023-47122")
def bundle_with_its_own_key(scene: Scene) -> None:
    """A stranger's statement in a bundle that brings the key to check it with."""
    key = {"rawBytes": base64.b64encode(pem("stranger").encode()).decode()}
    line(scene, json.dumps(sigstore(scene, "raw", "stranger", publicKey=key)))


@attack("problem unknown-signer", "CVE-2024-53267")
def bundle_that_hints_at_a_trusted_key(scene: Scene) -> None:
    """A stranger's statement in a bundle whose hint names the producer's key."""
    table = sigstore(scene, "raw", "stranger", publicKey={"hint": "producer"})
    line(scene, json.dumps(table))


@attack("problem unreadable", "CVE-2022-36056")
def bundle_of_a_message(scene: Scene) -> None:
    """A bundle that signs a digest and holds no statement."""
    table = sigstore(scene, "raw")
    del table["dsseEnvelope"]
    digest = {"algorithm": "SHA2_256", "digest": "AA=="}
    line(scene, json.dumps(table | {"messageSignature": {"messageDigest": digest}}))


@attack("problem unreadable", "Sigstore bundle 0.3, media type")
def bundle_of_another_kind(scene: Scene) -> None:
    """A bundle under a media type that is no bundle's."""
    line(scene, json.dumps(sigstore(scene, "raw") | {"mediaType": "application/json"}))


# Statements.


@attack("problem unreadable", "CVE-2022-35929")
def predicate_of_an_older_version(scene: Scene) -> None:
    """A step under the type of provenance of version 0.2."""
    scene.changed("raw", lambda t: t.update(predicateType="https://slsa.dev/provenance/v0.2"))


@attack("problem unreadable", "CVE-2022-35929")
def predicate_of_a_version_to_come(scene: Scene) -> None:
    """An audit under the type of a version that does not exist yet."""
    scene.changed("audit", lambda t: t.update(predicateType=t["predicateType"][:-1] + "2"))


@attack("problem unreadable", "in-toto Statement v1, _type")
def statement_of_an_older_version(scene: Scene) -> None:
    """A statement of version 0.1."""
    scene.changed("raw", lambda t: t.update(_type="https://in-toto.io/Statement/v0.1"))


@attack("problem unreadable", "CVE-2026-39395")
def audit_under_the_type_of_a_step(scene: Scene) -> None:
    """An audit that calls itself a step."""
    kind = scene.table("raw")["predicateType"]
    scene.changed("audit", lambda t: t.update(predicateType=kind))


@attack("problem no-provenance", "CVE-2022-35929")
def attested_by_any_statement(scene: Scene) -> None:
    """A true statement of another kind about the filtered rows, in the place of how they were made."""
    parts = [used("input-weights", "base", BASE)]
    made = step_statement(
        "quantize", [dataset(scene.data)], Quantize(method="x"), parts, finished=NOW
    )
    scene.replace("filter", made)


@attack("problem unreadable", "in-toto Statement v1, digest")
def weak_digest_only(scene: Scene) -> None:
    """A subject named by SHA-1 alone."""
    scene.changed("raw", lambda t: t["subject"][0].update(digest={"sha1": "a" * 40}))


@attack("problem unreadable", "in-toto Statement v1, digest")
def subject_without_a_digest(scene: Scene) -> None:
    """A subject with a name and no digest."""
    scene.changed("raw", lambda t: t["subject"][0].update(digest={}))


@attack("problem unreadable", "in-toto Statement v1, digest")
def short_digest(scene: Scene) -> None:
    """A SHA-256 cut off after 32 digits."""
    scene.changed(
        "raw",
        lambda t: t["subject"][0]["digest"].update(sha256=t["subject"][0]["digest"]["sha256"][:32]),
    )


@attack("problem unreadable", "in-toto Statement v1, digest")
def digest_under_a_name_in_capitals(scene: Scene) -> None:
    """A digest under `SHA256`."""
    scene.changed(
        "raw",
        lambda t: t["subject"][0].update(digest={"SHA256": t["subject"][0]["digest"]["sha256"]}),
    )


@attack("rule audited-if-related", "in-toto Statement v1, digest")
def right_weak_digest_beside_a_wrong_strong_one(scene: Scene) -> None:
    """An audit whose SHA-1 is that of the rows, and whose SHA-256 is of something else."""
    import hashlib

    weak = hashlib.sha1(scene.data.read_bytes()).hexdigest()
    scene.changed(
        "audit", lambda t: t["subject"][0].update(digest={"sha1": weak, "sha256": "f" * 64})
    )


@attack("problem unreadable", "in-toto Statement v1, subject")
def subject_twice(scene: Scene) -> None:
    """One digest twice in a statement, with other rows the second time."""

    def doubled(table: dict[str, Any]) -> None:
        first = table["subject"][0]
        table["subject"].append(first | {"annotations": {"rows": "1000000"}, "name": "more"})

    scene.changed("raw", doubled)


@attack("rule audited-if-related", "GHSA-6q78-j78h-pqm2")
def audit_of_the_right_name(scene: Scene) -> None:
    """An audit of an earlier version of the rows, under the same name."""
    earlier = write_rows(scene.folder / "earlier.jsonl", rows(30))
    scene.replace("audit", scene.audited(dataset(earlier).digest["sha256"]))


@attack("rule audited-if-related", "GHSA-6q78-j78h-pqm2")
def audit_of_the_input(scene: Scene) -> None:
    """An audit of the rows before the filter."""
    scene.replace("audit", scene.audited(dataset(scene.raw).digest["sha256"]))


@attack("problem no-provenance", "GHSA-6q78-j78h-pqm2")
def step_of_another_dataset(scene: Scene) -> None:
    """The generation of other rows, replayed for these."""
    other = write_rows(scene.folder / "other.jsonl", rows(40, "other"))
    scene.replace("raw", scene.generated(subject=dataset(other)))


@attack("rule audited-if-related", "TUF specification, rollback attacks")
def older_rows_with_their_own_statement(scene: Scene) -> None:
    """Older rows of the same name, with the true statement of how they were made, and the audit of the newer ones."""
    write_rows(scene.data, rows(36, "older"))
    scene.replace("filter", scene.generated(subject=dataset(scene.data)))


@attack("problem unreadable", "in-toto Statement v1, predicate")
def claim_against_its_own_number(scene: Scene) -> Iterator[None]:
    """A claim that passed at 5 where less than 0.2 is asked for."""
    scene.changed("audit", lambda t: t["predicate"]["claims"][0].update(observed="0.1"))
    yield
    scene.lines.clear()
    scene.statements["audit"] = (scene.audited(), ("auditor",))
    scene.changed("audit", lambda t: t["predicate"]["claims"][0].update(observed="5"))


def asking_for_power(scene: Scene) -> None:
    """A policy that asks for an audit that sees effects of one logit in nine of ten cases."""
    path = scene.folder / "powerful.toml"
    path.write_text(
        'title = "T"\n[[rules]]\nid = "audited"\nkind = "require-audit"\nwhen = "always"\n'
        "least_power = 0.9\nat_most_logits = 1.0\n"
    )
    scene.policy = str(path)


@attack("problem unreadable", "in-toto Statement v1, predicate")
def power_at_less_than_nothing(scene: Scene) -> Iterator[None]:
    """An audit whose power holds at an effect below zero, where a small effect is asked for."""
    asking_for_power(scene)
    yield
    scene.changed("audit", lambda t: t["predicate"]["power"].update(at="-5"))


@attack("problem unreadable", "SLSA provenance v1, externalParameters")
def prompt_both_secret_and_shown(scene: Scene) -> None:
    """A system prompt that is disclosed by a digest and hidden by a commitment at once."""
    prompt = {"disclosed": True, "sha256": "1" * 64, "commitment": {"alg": "sha256", "value": "2" * 64, "salted": True}}  # fmt: skip
    scene.changed("raw", lambda t: parameters(t).update(systemPrompt=prompt))


# Chains.


@attack("problem cyclic", "CVE-2024-45395")
def teacher_tuned_from_itself(scene: Scene) -> Iterator[None]:
    """A teacher whose fine-tune began from the teacher, for a student of another base."""
    scene.student = OTHER
    del scene.statements["audit"]
    yield
    scene.replace("teacher", scene.tuned(TEACHER))


@attack("problem cyclic", "CVE-2024-45395")
def lessons_by_their_own_pupil(scene: Scene) -> None:
    """A teacher tuned on rows that it wrote itself."""
    scene.replace("lessons", scene.generated(subject=scene.lessons))
    scene.policy = "safety-critical"


@attack("problem cyclic", "CVE-2024-45395")
def dataset_mixed_of_itself(scene: Scene) -> None:
    """A mix whose only source is the mix."""
    digest = dataset(scene.data).digest["sha256"]
    scene.replace("filter", scene.mixed({"rows.jsonl": "36"}, {"rows.jsonl": digest}))


@attack("problem inconsistent", "TUF specification, mix-and-match attacks")
def source_twice(scene: Scene) -> Iterator[None]:
    """A mix that names one source twice, once for rows of people."""
    digest = dataset(scene.raw).digest["sha256"]
    scene.replace("filter", scene.mixed({"raw.jsonl": "36"}, {"raw.jsonl": digest}))
    yield
    made = scene.table("filter")
    parameters(made)["sources"] = [
        {"name": "raw.jsonl", "rows": "6"},
        {"name": "raw.jsonl", "rows": "30"},
    ]
    scene.forged("filter", json.dumps(made))


@attack("problem no-digest", "SLSA provenance v1, resolvedDependencies")
def source_without_a_digest(scene: Scene) -> Iterator[None]:
    """A mix whose source has a name and no digest."""
    _mixed(scene)
    yield
    scene.changed("filter", lambda t: _dependency(t).update(digest={}))


@attack("problem no-digest", "SLSA provenance v1, resolvedDependencies")
def source_by_a_weak_digest(scene: Scene) -> Iterator[None]:
    """A mix whose source is named by a commit, which is no content."""
    _mixed(scene)
    yield
    scene.changed("filter", lambda t: _dependency(t).update(digest={"gitCommit": "a" * 40}))


def _mixed(scene: Scene) -> None:
    digest = dataset(scene.raw).digest["sha256"]
    scene.replace("filter", scene.mixed({"raw.jsonl": "36"}, {"raw.jsonl": digest}))


def _dependency(table: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = table["predicate"]["buildDefinition"]["resolvedDependencies"][0]
    return first


@attack("problem no-provenance", "TUF specification, extraneous dependencies attacks")
def adapter_of_unknown_origin(scene: Scene) -> Iterator[None]:
    """A teacher with an adapter on it that no statement speaks of."""
    tuned = step_statement(
        "finetune",
        [StatementSubject(name="adapter", digest={"sha256": "5" * 64})],
        FineTune(method="lora"),
        [used("init-weights", "base", BASE), used("train-data", "lessons", "c" * 64)],
        finished=NOW,
    )
    scene.statements["adapter"] = (tuned, ("producer",))
    scene.replace("raw", scene.generated(teacher(adapters=("5" * 64,))))
    scene.policy = whole_chain(scene)
    yield
    del scene.statements["adapter"]


def whole_chain(scene: Scene, more: str = "") -> str:
    """A policy that asks for the whole chain."""
    path = scene.folder / "whole.toml"
    path.write_text(
        'title = "T"\n[[rules]]\nid = "whole"\nkind = "require-provenance"\nscope = "whole"\n'
        + more
    )
    return str(path)


@attack("rule whole", "SLSA provenance v1, byproducts")
def filter_known_by_hearsay(scene: Scene) -> Iterator[None]:
    """A filter that is only told of, where each is asked to be proved."""
    scene.policy = whole_chain(scene, "filters_proved = true\n")
    yield
    rule = {"id": "good-ones", "removed": "900"}
    scene.changed("raw", lambda t: parameters(t).update(filters=[rule]))


@attack("rule whole", "CVE-2021-41087")
def ledger_led_elsewhere(scene: Scene) -> Iterator[None]:
    """A ledger named by a path that leads through another folder."""
    scene.policy = whole_chain(scene, "filters_proved = true\n")
    (scene.folder / "sub").mkdir()
    yield
    _ledger_named(scene, "sub/../rows.jsonl.ledger.jsonl")


def _ledger_named(scene: Scene, name: str) -> None:
    def renamed(table: dict[str, Any]) -> None:
        table["predicate"]["runDetails"]["byproducts"][0]["name"] = name

    scene.changed("filter", renamed)


@attack("rule known-writers", "in-toto Statement v1, predicate")
def share_below_zero(scene: Scene) -> Iterator[None]:
    """Rows of people with a share of less than nothing by models, which would thin out the rest."""
    collected_rows(scene, "0")
    yield
    collected_rows(scene, "-0.5")


def collected_rows(scene: Scene, share: str) -> None:
    """The raw rows are people's work, but for a share."""
    made = scene.collected(dataset(scene.raw), model_written=share)
    scene.replace("raw", made)
    scene.statements.pop("audit", None)


@attack("rule known-writers", "SLSA provenance v1, externalParameters")
def rows_of_unknown_origin(scene: Scene) -> Iterator[None]:
    """Rows whose producer does not know where they are from."""
    collected_rows(scene, "0")
    yield
    scene.replace("raw", scene.collected(dataset(scene.raw), origin="unknown"))


# Lineage.


def lineage(verdict: str = "distinct", *, student: str = BASE, **more: Any) -> Statement:
    """What an auditor measured of the teacher and a student."""
    fields: dict[str, Any] = {
        "verifier": Verifier(id="house"),
        "evaluated_at": time_text(NOW - timedelta(hours=3)),
        "valid_until": time_text(NOW + timedelta(days=90)),
        "student": student,
        "verdict": verdict,
        "methods": ("weights",),
        "evidence": StoredEvidence(digest={"sha256": "e" * 64}),
    }
    subject = StatementSubject(name="teacher", digest={"sha256": TEACHER})
    return statement(LINEAGE, [subject], LineageResult(**(fields | more)))


def unknown_teacher(scene: Scene, made: Statement, by: str = "auditor") -> None:
    """A teacher without a chain of its own and no audit: all rests on a measured lineage."""
    scene.statements.pop("teacher", None)
    scene.statements.pop("audit", None)
    scene.statements["lineage"] = (made, (by,))


@attack("rule audited-if-related", "GHSA-6q78-j78h-pqm2")
def lineage_of_another_student(scene: Scene) -> Iterator[None]:
    """A lineage that was measured against another student."""
    unknown_teacher(scene, lineage())
    yield
    unknown_teacher(scene, lineage(student=OTHER))


@attack("problem role", "CVE-2022-35930")
def lineage_by_the_producer(scene: Scene) -> Iterator[None]:
    """A lineage that the producer measured."""
    unknown_teacher(scene, lineage())
    yield
    unknown_teacher(scene, lineage(), "producer")


@attack("rule audited-if-related", "TUF specification, freeze attacks")
def lineage_past_its_end(scene: Scene) -> Iterator[None]:
    """A lineage whose validity is over."""
    unknown_teacher(scene, lineage())
    yield
    past = time_text(NOW - timedelta(hours=1))
    unknown_teacher(scene, lineage(valid_until=past))


@attack("rule audited-if-related", "in-toto, Attestation bundle")
def lineage_against_a_worse_one(scene: Scene) -> Iterator[None]:
    """A lineage that was found distinct beside one that was found shared."""
    unknown_teacher(scene, lineage())
    yield
    scene.statements["worse"] = (lineage("shared"), ("auditor",))


@attack("rule audited-if-related", "in-toto, Attestation bundle")
def lineage_against_the_chain(scene: Scene) -> Iterator[None]:
    """A lineage that was found distinct, of a teacher whose chain leads to the student's base."""
    unknown_teacher(scene, lineage())
    yield
    scene.statements["teacher"] = (scene.tuned(), ("producer",))


@attack("rule audited-if-related", "in-toto, Attestation bundle")
def lineage_that_found_nothing(scene: Scene) -> Iterator[None]:
    """A lineage that could not tell."""
    unknown_teacher(scene, lineage())
    yield
    unknown_teacher(scene, lineage("unknown"))


@attack("rule audited-if-related", "SLSA provenance v1, externalParameters")
def second_teacher_of_the_same_base(scene: Scene) -> Iterator[None]:
    """A second teacher beside one of another base, whose declared initialisation is the student's."""
    scene.student = OTHER
    scene.statements.pop("audit")
    yield
    second = teacher(
        name="second",
        weights_digest=None,
        why_null="behind an API",
        access="api",
        lineage=Lineage(init=OTHER),
    )
    scene.replace("raw", scene.generated(teacher(), second))


# Words that rules look for.


def of_domain(scene: Scene, domain: str) -> None:
    """Rows of a domain, by a teacher of another base, without an audit."""
    scene.student = OTHER
    scene.statements.pop("audit", None)
    scene.replace("raw", scene.generated(domain=domain))


@attack("rule sensitive-domains", "CVE-2021-42694")
def domain_with_a_cyrillic_letter(scene: Scene) -> Iterator[None]:
    """The domain `medicine` with a Cyrillic letter in it."""
    of_domain(scene, "numbers")
    yield
    of_domain(scene, "medi\u0441ine")


@attack("rule sensitive-domains", "CVE-2021-42574")
def domain_with_an_unseen_character(scene: Scene) -> Iterator[None]:
    """The domain `medicine` with a space of no width in it."""
    of_domain(scene, "numbers")
    yield
    of_domain(scene, "medi\u200bcine")


@attack("rule sensitive-domains", "Unicode Standard Annex 15")
def domain_in_wide_letters(scene: Scene) -> Iterator[None]:
    """The domain `law` in full-width letters."""
    of_domain(scene, "numbers")
    yield
    of_domain(scene, "\uff4c\uff41\uff57")


@attack("rule independent-auditor", "Unicode Standard Annex 15")
def organisation_in_other_letters(scene: Scene) -> Iterator[None]:
    """An auditor of the producer's organisation, written in capitals and full-width letters."""
    scene.keys["producer"]["organisation"] = "lab"
    yield
    scene.keys["auditor"]["organisation"] = " \uff2cAB"


@attack("rule independent-auditor", "TUF specification, key compromise attacks")
def one_producer_of_two_as_auditor(scene: Scene) -> Iterator[None]:
    """One of the two keys that signed the data signs the audit."""
    by_two(scene, "second")
    scene.keys["second"]["roles"] = ["producer", "auditor"]
    yield
    scene.replace("audit", scene.audited(), "second")


@attack("rule independent-auditor", "TUF specification, key compromise attacks")
def auditor_who_wrote_the_lessons(scene: Scene) -> Iterator[None]:
    """An auditor whose key signed how the input of the filter was made."""
    scene.keys["auditor"]["roles"] = ["auditor", "producer"]
    yield
    scene.replace("raw", scene.generated(), "auditor")


@attack("problem no-provenance", "TUF specification, mix-and-match attacks")
def bundle_of_another_dataset(scene: Scene) -> None:
    """The bundle of other rows of the same name, laid beside these."""
    other = scene.folder / "elsewhere"
    other.mkdir()
    theirs = Scene(other)
    write_rows(theirs.data, rows(36, "theirs"))
    theirs.replace("filter", theirs.generated(subject=dataset(theirs.data)))
    theirs.ask()
    scene.statements.clear()
    scene.lines.append(bundle_path(theirs.data).read_bytes())
