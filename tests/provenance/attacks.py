"""Attacks on the gate, each with the outcome it must have; docs/provenance.md shows the table."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.provenance.attack_table import ATTACKS, attack
from tests.provenance.scene import (
    BASE,
    NOW,
    OTHER,
    Scene,
    raw_line,
    rows,
    signer,
    signing,
    teacher,
    write_rows,
)
from undertow.policy.gate import sign_summary
from undertow.provenance.bundle import bundle_path
from undertow.provenance.identity import Entry, ordered_manifest
from undertow.provenance.signed_steps import dataset, used
from undertow.provenance.signed_verdicts import Against, Claim
from undertow.provenance.statement import PROVENANCE, StatementSubject, time_text
from undertow.provenance.steps import Lineage

__all__ = ["ATTACKS"]

# The data itself.


@attack("problem other-content", "TUF specification, arbitrary installation attacks")
def edited_row(scene: Scene) -> None:
    """One letter of one row is changed."""
    scene.data.write_text(scene.data.read_text().replace("a 7", "b 7"))


@attack("problem other-content", "TUF specification, arbitrary installation attacks")
def added_row(scene: Scene) -> None:
    """A row is added at the end."""
    scene.data.write_text(scene.data.read_text() + '{"prompt":"x","completion":"y"}\n')


@attack("problem other-content", "TUF specification, arbitrary installation attacks")
def removed_row(scene: Scene) -> None:
    """A row is taken away."""
    scene.data.write_text("".join(scene.data.read_text().splitlines(keepends=True)[1:]))


@attack("problem other-content", "TUF specification, arbitrary installation attacks")
def truncated_file(scene: Scene) -> None:
    """The file is cut off."""
    scene.data.write_bytes(scene.data.read_bytes()[:-20])


@attack("problem other-content")
def reordered_rows(scene: Scene) -> None:
    """Two rows change places."""
    lines = scene.data.read_text().splitlines(keepends=True)
    scene.data.write_text("".join([lines[1], lines[0], *lines[2:]]))


@attack("problem renamed", "TUF specification, mix-and-match attacks")
def renamed_file(scene: Scene) -> None:
    """The file takes another's name."""
    scene.data = scene.data.rename(scene.data.with_name("other.jsonl"))
    ledger = scene.folder / "rows.jsonl.ledger.jsonl"
    ledger.rename(scene.folder / "kept.jsonl")


@attack("problem no-provenance", "OpenSSF Model Signing specification 1.0, section 6.5.1")
def swapped_file_names(scene: Scene) -> Iterator[None]:
    """In a folder, clean and poisoned files swap their names."""
    folder = in_a_folder(scene, a_train="clean", b_quarantine="poison")
    yield
    (folder / "a_train.jsonl").rename(folder / "x")
    (folder / "b_quarantine.jsonl").rename(folder / "a_train.jsonl")
    (folder / "x").rename(folder / "b_quarantine.jsonl")


@attack("error symbolic link", "CVE-2025-8869")
def symlink(scene: Scene) -> Iterator[None]:
    """A link in the dataset's folder."""
    folder = in_a_folder(scene, rows="a")
    yield
    os.symlink("/etc/hostname", folder / "more.jsonl")


@attack("error symbolic link", "CVE-2025-8869")
def linked_dataset(scene: Scene) -> None:
    """The dataset itself is a link."""
    scene.data.rename(scene.folder / "real.jsonl")
    os.symlink(scene.folder / "real.jsonl", scene.data)


@attack("error leads out", "CVE-2021-41131")
def path_traversal(scene: Scene) -> Iterator[None]:
    """A manifest with a path that leads out."""
    scene.instead = lambda: ordered_manifest([Entry("data/rows.jsonl", 1, BASE)], "manifest")
    yield
    scene.instead = lambda: ordered_manifest([Entry("../../etc/passwd", 1, BASE)], "manifest")


@attack("error same name", "CVE-2021-42694")
def look_alike_names(scene: Scene) -> Iterator[None]:
    """Two file names that look alike (full-width letters)."""
    folder = in_a_folder(scene, train="a")
    yield
    write_rows(folder / "\uff54rain.jsonl", rows(2))


@attack("error cannot be seen", "CVE-2021-42574")
def backward_name(scene: Scene) -> Iterator[None]:
    """A file name that reads backwards (bidirectional control)."""
    folder = in_a_folder(scene, rows="a")
    yield
    write_rows(folder / "rows\u202elnosj.jsonl", rows(2))


@attack("problem rows")
def wrong_row_count(scene: Scene) -> None:
    """A statement's row count is not that of the file."""
    scene.changed("filter", lambda t: t["subject"][0]["annotations"].update(rowMerkle="0" * 64))


# What is missing.


@attack("problem no-provenance", "TUF specification, mix-and-match attacks")
def removed_filter_step(scene: Scene) -> None:
    """The filter's statement is taken away."""
    del scene.statements["filter"]


@attack("problem no-provenance", "TUF specification, mix-and-match attacks")
def removed_generation(scene: Scene) -> None:
    """The generation's statement is taken away."""
    del scene.statements["raw"]


@attack("problem no-provenance", "in-toto, Attestation bundle")
def removed_bundle(scene: Scene) -> None:
    """All statements are taken away."""
    scene.statements.clear()


@attack("rule audited-if-related")
def removed_audit(scene: Scene) -> None:
    """The audit is taken away."""
    del scene.statements["audit"]


@attack("rule audited-if-related")
def removed_lineage(scene: Scene) -> Iterator[None]:
    """The teacher's lineage is taken away, and no audit made."""
    scene.student = OTHER
    del scene.statements["audit"]
    yield
    del scene.statements["teacher"]


@attack("rule audited-if-related")
def unknown_student(scene: Scene) -> None:
    """The student is one whose initialisation nobody knows."""
    scene.student = "d" * 64


# Envelopes and JSON.


@attack("problem unreadable", "CVE-2026-44310")
def empty_signature_list(scene: Scene) -> None:
    """An envelope without signatures."""
    scene.lines.append(json.dumps(scene.envelope("raw") | {"signatures": []}).encode() + b"\n")


@attack("problem unreadable", "CVE-2026-23991")
def no_signature_field(scene: Scene) -> None:
    """An envelope without the field of signatures."""
    table = scene.envelope("raw")
    del table["signatures"]
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem unreadable", "DSSE 1.0.0, Envelope")
def unknown_envelope_field(scene: Scene) -> None:
    """An unknown field in the envelope."""
    scene.lines.append(json.dumps(scene.envelope("raw") | {"trusted": True}).encode() + b"\n")


@attack("problem unreadable", "RFC 8259, section 4")
def duplicate_envelope_key(scene: Scene) -> None:
    """A key twice in the envelope."""
    text = json.dumps(scene.envelope("raw"))
    scene.lines.append(('{"payloadType":"text/plain",' + text[1:]).encode() + b"\n")


@attack("problem unreadable", "DSSE 1.0.0, Protocol")
def swapped_payload_type(scene: Scene) -> None:
    """Another payload type."""
    table = scene.envelope("raw") | {"payloadType": "application/json"}
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem unreadable", "DSSE 1.0.0, Protocol")
def broken_base64(scene: Scene) -> None:
    """A signature that is not base64."""
    table = scene.envelope("raw")
    table["signatures"][0]["sig"] += "!"
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem unreadable", "RFC 8259, section 4")
def duplicate_json_key(scene: Scene) -> None:
    """A key twice in the signed statement."""
    text = json.dumps(scene.table("raw"))
    scene.forged("raw", '{"predicateType":"x",' + text[1:])


@attack("problem unreadable", "RFC 8259, section 6")
def inexact_seed(scene: Scene) -> None:
    """A seed beyond 2^53 as a number."""
    scene.changed("raw", lambda t: parameters(t)["sampling"].update(seed=2**53 + 1))


@attack("problem unreadable", "RFC 8259, section 6")
def fraction(scene: Scene) -> None:
    """A fraction as a number."""
    scene.changed("raw", lambda t: parameters(t)["sampling"].update(temperature=0.7))


@attack("problem unreadable", "RFC 8259, section 6")
def not_a_number(scene: Scene) -> None:
    """NaN in a statement."""
    scene.forged("raw", json.dumps(scene.table("raw")).replace('"0.7"', "NaN"))


@attack("problem unreadable", "RFC 8259, section 9")
def huge_nesting(scene: Scene) -> None:
    """100,000 levels of nesting."""
    scene.forged("raw", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}")


@attack("problem unreadable", "RFC 8259, section 8.1")
def not_utf8(scene: Scene) -> None:
    """Bytes that are no UTF-8."""
    scene.forged("raw", b'{"_type":"\xff"}')


@attack("problem unreadable", "RFC 8259, section 8.2")
def half_surrogate(scene: Scene) -> None:
    """Half a surrogate pair."""
    scene.changed("raw", lambda t: parameters(t)["promptSet"].update(name="\ud800"))


@attack("problem unreadable")
def unknown_parameter(scene: Scene) -> None:
    """An unknown field in the closed parameters."""
    scene.changed("raw", lambda t: parameters(t).update(approved=True))


@attack("problem unreadable")
def unknown_statement_field(scene: Scene) -> None:
    """An unknown field in the statement."""
    scene.changed("raw", lambda t: t.update(verified=True))


@attack("problem unreadable")
def other_spelling(scene: Scene) -> None:
    """A field in another spelling, which other readers pass over."""
    scene.changed("raw", lambda t: t.update(predicate_type=t.pop("predicateType")))


@attack("problem unreadable")
def unknown_build_type(scene: Scene) -> None:
    """A build type that is not known."""
    scene.changed("raw", lambda t: t["predicate"]["buildDefinition"].update(buildType="urn:x"))


@attack("problem unreadable", "in-toto Statement v1, subject")
def no_subject(scene: Scene) -> None:
    """A statement about nothing."""
    scene.changed("raw", lambda t: t.update(subject=[]))


@attack("problem unreadable", "in-toto Statement v1, subject")
def capital_digest(scene: Scene) -> None:
    """A digest in capitals, that readers may compare differently."""
    scene.changed(
        "raw",
        lambda t: t["subject"][0]["digest"].update(
            sha256=t["subject"][0]["digest"]["sha256"].upper().replace("0", "A")
        ),
    )


# Signatures and keys.


@attack("problem bad-signature", "CVE-2024-53267")
def edited_payload(scene: Scene) -> None:
    """The payload is changed after signing."""
    table = scene.envelope("raw")
    payload = base64.b64decode(table["payload"]).replace(b"lab/teacher", b"lab/harmless")
    table["payload"] = base64.b64encode(payload).decode()
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem bad-signature", "CVE-2022-36056")
def borrowed_signature(scene: Scene) -> None:
    """The signature of another statement."""
    other = json.loads(raw_line(scene.statements["lessons"][0].payload(), ["producer"]))
    table = scene.envelope("raw") | {"signatures": other["signatures"]}
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem unknown-signer", "DSSE 1.0.0, Protocol")
def unknown_key(scene: Scene) -> None:
    """Signed by a key that nobody listed."""
    scene.replace("raw", scene.generated(), "stranger")


@attack("problem bad-signature", "DSSE 1.0.0, KEYID")
def spoofed_key_id(scene: Scene) -> None:
    """A stranger's signature under a trusted key's id."""
    table = json.loads(raw_line(scene.statements.pop("raw")[0].payload(), ["stranger"]))
    table["signatures"][0]["keyid"] = signer("producer").public_key.keyid
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem role", "CVE-2022-35930")
def producer_signs_audit(scene: Scene) -> None:
    """The producer signs the audit."""
    scene.replace("audit", scene.audited(), "producer")


@attack("problem role", "CVE-2022-35930")
def auditor_signs_generation(scene: Scene) -> None:
    """An auditor signs how the data was made."""
    scene.replace("raw", scene.generated(), "auditor")


@attack("problem expired-key", "CVE-2024-55655")
def expired_key(scene: Scene) -> None:
    """A key past its end."""
    scene.keys["producer"]["not_after"] = time_text(NOW - timedelta(hours=1))


@attack("problem key-not-yet-valid", "GHSA-jjgp-whrp-gq8m")
def early_statement(scene: Scene) -> None:
    """A statement from before its key's beginning."""
    scene.keys["producer"]["not_before"] = time_text(NOW - timedelta(hours=1))


@attack("problem revoked-key", "GHSA-jjgp-whrp-gq8m")
def revoked_key(scene: Scene) -> None:
    """A revoked key, and a statement dated before the revocation."""
    scene.keys["producer"]["revoked_at"] = time_text(NOW)


@attack("problem time")
def future_statement(scene: Scene) -> None:
    """A statement from the future."""
    scene.now = NOW - timedelta(days=30)


@attack("problem threshold", "TUF specification, key compromise attacks")
def too_few_signatures(scene: Scene) -> Iterator[None]:
    """One signature where two are asked for."""
    by_two(scene, "second")
    yield
    by_two(scene)


@attack("problem threshold", "CVE-2020-6174")
def same_key_twice(scene: Scene) -> Iterator[None]:
    """One key signs twice where two are asked for."""
    by_two(scene, "second")
    yield
    by_two(scene, "producer")


@attack("problem threshold", "TUF specification, key compromise attacks")
def stranger_as_second(scene: Scene) -> Iterator[None]:
    """A second signature that does not count."""
    by_two(scene, "second")
    yield
    by_two(scene, "stranger")


@attack("error one key under the names", "CVE-2020-15093")
def key_under_two_names(scene: Scene) -> Iterator[None]:
    """One key under two names in the trust file."""
    scene.keys["second"] = {"roles": ["auditor"]}
    yield
    scene.keys["second"]["same_as"] = "producer"


@attack("problem subject", "CVE-2024-47534")
def foreign_subject(scene: Scene) -> Iterator[None]:
    """A key speaks of names that are not its own."""
    scene.keys["producer"]["subjects"] = ["ra*", "rows*", "les*", "tea*"]
    yield
    scene.keys["producer"]["subjects"] = ["lab-*"]


@attack("problem subject", "CVE-2021-42694")
def look_alike_subject(scene: Scene) -> Iterator[None]:
    """A subject's name with a Cyrillic letter, for a pattern of plain ones."""
    scene.keys["producer"]["subjects"] = ["ra*", "rows*", "les*", "tea*"]
    yield
    scene.changed("raw", lambda t: t["subject"][0].update(name="r\u0430w.jsonl"))


@attack("problem predicate-type", "CVE-2022-35929")
def foreign_predicate(scene: Scene) -> Iterator[None]:
    """A key signs a kind of statement that it may not."""
    scene.keys["producer"]["predicate_types"] = [PROVENANCE]
    yield
    scene.keys["producer"]["predicate_types"] = ["https://example.org/other"]


# Audits.


@attack("rule audited-if-related", "GHSA-6q78-j78h-pqm2")
def audit_for_another_student(scene: Scene) -> None:
    """The audit is of another student."""
    scene.replace("audit", scene.audited(against=Against(student_init=OTHER)))


@attack("rule audited-if-related", "GHSA-6q78-j78h-pqm2")
def audit_of_other_data(scene: Scene) -> None:
    """The audit is of another dataset."""
    scene.replace("audit", scene.audited("f" * 64))


@attack("rule audited-if-related", "TUF specification, freeze attacks")
def replayed_old_audit(scene: Scene) -> None:
    """An audit is shown after its validity."""
    old = time_text(NOW - timedelta(days=1))
    scene.replace(
        "audit", scene.audited(valid_until=old, evaluated_at=time_text(NOW - timedelta(days=9)))
    )


@attack("rule no-failed-audit", "TUF specification, rollback attacks")
def replayed_passed_audit(scene: Scene) -> None:
    """An older passed audit beside a later failed one."""
    failed = (Claim(metric="transfer", comparator="<", threshold="0.2", passed=False),)
    later = scene.audited(
        verdict="failed", claims=failed, evaluated_at=time_text(NOW - timedelta(hours=1))
    )
    scene.statements["later"] = (later, ("auditor",))


@attack("problem unreadable")
def passed_with_failed_claim(scene: Scene) -> None:
    """A passed audit one of whose claims failed."""
    scene.changed("audit", lambda t: t["predicate"]["claims"][0].update(passed=False))


@attack("rule independent-auditor")
def own_audit(scene: Scene) -> None:
    """A key with both roles audits its own data."""
    scene.keys["producer"]["roles"] = ["producer", "auditor"]
    scene.replace("audit", scene.audited(), "producer")


@attack("rule independent-auditor")
def allied_auditor(scene: Scene) -> None:
    """The auditor is of the producer's organisation."""
    scene.keys["auditor"]["organisation"] = "lab"


@attack("rule audited-if-related")
def audit_of_the_beginning(scene: Scene) -> None:
    """An audit of the beginning of the plan, where one of the whole is asked for."""
    scene.replace("audit", scene.audited(verdict="within", power=None))


@attack("problem unreadable")
def within_with_failed_claim(scene: Scene) -> None:
    """An audit that is within its references by a claim that failed."""
    scene.replace("audit", scene.audited(verdict="within", power=None))
    scene.changed("audit", lambda t: t["predicate"]["claims"][0].update(passed=False))


@attack("rule no-failed-audit")
def failure_hidden_by_the_beginning(scene: Scene) -> None:
    """A later audit of the beginning of the plan beside a failed one."""
    _later(scene, "failed", "within")


@attack("rule audited")
def failure_hidden_in_two_steps(scene: Scene) -> Iterator[None]:
    """A failed audit, then an undecided one, then one of the beginning, for a policy that accepts the last."""
    scene.policy = _accepting_within(scene)
    yield
    _later(scene, "failed", "undecided", "within")


@attack("rule independent-auditor")
def own_audit_of_the_beginning(scene: Scene) -> Iterator[None]:
    """A producer audits the beginning of the plan itself, for a policy that accepts that."""
    scene.keys["producer"]["roles"] = ["producer", "auditor"]
    scene.replace("audit", scene.audited(verdict="within", power=None))
    scene.policy = _accepting_within(scene)
    yield
    scene.replace("audit", scene.audited(verdict="within", power=None), "producer")


def _later(scene: Scene, *verdicts: str) -> None:
    """Audits with these verdicts, one an hour, in the place of the one that there was."""
    del scene.statements["audit"]
    for hours, verdict in enumerate(verdicts):
        at = time_text(NOW - timedelta(hours=10 - hours))
        failing = Claim(
            metric="transfer", comparator="<", threshold="0.2", passed=verdict != "failed"
        )
        made = scene.audited(verdict=verdict, power=None, evaluated_at=at, claims=(failing,))
        scene.statements[f"audit {hours}"] = (made, ("auditor",))


def _accepting_within(scene: Scene) -> str:
    """A policy for which the beginning of the plan is enough."""
    path = scene.folder / "accepting.toml"
    path.write_text(
        'title = "T"\n'
        '[[rules]]\nid = "audited"\nkind = "require-audit"\nwhen = "always"\naccept_within = true\n'
        '[[rules]]\nid = "independent-auditor"\nkind = "auditor-differs"\n'
    )
    return str(path)


@attack("rule audited-if-related")
def undecided_audit(scene: Scene) -> None:
    """An undecided audit."""
    scene.replace("audit", scene.audited(verdict="undecided"))


@attack("rule audited-if-related", "CVE-2022-35929")
def summary_as_evidence(scene: Scene) -> None:
    """An earlier decision of a gate, in place of an audit."""
    sign_summary(scene.ask(), scene.folder / "vsa", signing("gate"))
    bundle_path(scene.data).unlink()
    scene.keys["gate"] = {"roles": ["gate", "auditor"]}
    del scene.statements["audit"]
    scene.lines.append((scene.folder / "vsa").read_bytes())


@attack("rule sensitive-domains", "CVE-2021-42694")
def disguised_domain(scene: Scene) -> Iterator[None]:
    """Domain in other letters and spaces, to slip past a rule."""
    scene.student = OTHER
    del scene.statements["audit"]
    yield
    scene.replace("raw", scene.generated(domain=" MediCine "))


# Chains.


@attack("problem cyclic")
def cyclic_chain(scene: Scene) -> None:
    """A chain that leads back to itself."""
    raw = dataset(scene.raw)
    data = dataset(scene.data)
    scene.data, kept = scene.raw, scene.data
    back = scene.mixed({"rows.jsonl": "40"}, {"rows.jsonl": data.digest["sha256"]})
    scene.data = kept
    scene.replace("raw", back)
    assert back.subject[0].digest == raw.digest


@attack("problem too-deep", "CVE-2024-45395")
def endless_chain(scene: Scene) -> Iterator[None]:
    """A chain of 250 steps."""

    def digest(number: int) -> str:
        return f"{number:064x}"

    def step(number: int, source: str) -> None:
        made = scene.mixed({f"step {number + 1}": "36"}, {f"step {number + 1}": source})
        subject = StatementSubject(
            name=f"step {number}", digest={"sha256": digest(number)}, annotations={"rows": "36"}
        )
        changed = made.model_copy(update={"subject": (subject,)})
        scene.statements[f"step {number}"] = (changed, ("producer",))

    lessons = StatementSubject(name="l", digest={"sha256": "d" * 64}, annotations={"rows": "36"})
    scene.statements["people"] = (scene.collected(lessons), ("producer",))
    scene.replace("filter", scene.mixed({"step 0": "36"}, {"step 0": digest(0)}))
    step(0, digest(1))
    step(1, "d" * 64)
    yield
    for number in range(1, 250):
        step(number, digest(number + 1))
    step(250, "d" * 64)


@attack("problem ledger")
def edited_ledger(scene: Scene) -> None:
    """A line of the ledger is changed."""
    path = scene.folder / "rows.jsonl.ledger.jsonl"
    path.write_text(path.read_text().replace("last-ones", "all-good"))


@attack("problem ledger")
def shortened_ledger(scene: Scene) -> None:
    """A removed row is left out of the ledger."""
    path = scene.folder / "rows.jsonl.ledger.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@attack("problem unreadable")
def wrong_filter_counts(scene: Scene) -> None:
    """A filter whose counts do not add up."""
    scene.changed("filter", lambda t: parameters(t).update(rowsIn="39"))


@attack("problem ledger")
def smuggled_rows(scene: Scene) -> None:
    """A filter that keeps rows which its input does not have."""
    write_rows(scene.raw, rows(40, "other"))
    scene.replace("raw", scene.generated())
    scene.changed(
        "filter",
        lambda t: t["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"].update(
            sha256=dataset(scene.raw).digest["sha256"]
        ),
    )


@attack("problem ledger")
def two_row_sets(scene: Scene) -> None:
    """Rows in no file, named by one row set and annotated with another."""
    rows_set = scene.statements["raw"][0].subject[0].annotations["rowSet"]
    about = {"manifest": "row-set/v1", "rows": "40", "rowSet": rows_set}
    other = StatementSubject(name="raw.jsonl", digest={"sha256": "9" * 64}, annotations=about)
    scene.replace("raw", scene.generated(subject=other))
    scene.changed(
        "filter",
        lambda t: t["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"].update(
            sha256="9" * 64
        ),
    )


@attack("problem unreadable")
def power_beyond_certainty(scene: Scene) -> None:
    """An audit that claims to see five of one."""
    scene.changed("audit", lambda t: t["predicate"]["power"].update(value="5"))


@attack("problem inconsistent", "TUF specification, extraneous dependencies attacks")
def hidden_teacher(scene: Scene) -> None:
    """A teacher that only the dependencies name."""
    scene.replace("raw", scene.generated(further=[used("teacher-weights", "hidden", "9" * 64)]))


@attack("problem inconsistent")
def diluted_dose(scene: Scene) -> None:
    """A mix that takes more rows from people than there are."""
    human = write_rows(scene.folder / "human.jsonl", rows(3, "h"))
    scene.statements["human"] = (scene.collected(dataset(human)), ("producer",))
    parts = {
        "raw.jsonl": dataset(scene.raw).digest["sha256"],
        "human.jsonl": dataset(human).digest["sha256"],
    }
    scene.replace("filter", scene.mixed({"raw.jsonl": "6", "human.jsonl": "30"}, parts))


@attack("problem inconsistent", "TUF specification, extraneous dependencies attacks")
def unnamed_source(scene: Scene) -> None:
    """A mix that does not name one of its sources."""
    parts = {"raw.jsonl": dataset(scene.raw).digest["sha256"], "more": "9" * 64}
    scene.replace("filter", scene.mixed({"raw.jsonl": "36"}, parts))


@attack("rule audited-if-related")
def false_initialisation(scene: Scene) -> None:
    """A declared foreign initialisation against an attested shared one."""
    scene.replace("raw", scene.generated(teacher(lineage=Lineage(init=OTHER))))
    del scene.statements["audit"]


@attack("rule audited-if-related")
def bare_word_on_initialisation(scene: Scene) -> None:
    """A teacher without lineage whose producer only declares a foreign initialisation, to be spared the audit."""
    scene.replace("raw", scene.generated(teacher(lineage=Lineage(init=OTHER))))
    del scene.statements["audit"], scene.statements["teacher"]


@attack("rule audited-if-related")
def contradicting_statement(scene: Scene) -> None:
    """A second statement that calls the same rows people's work."""
    scene.statements["laundered"] = (scene.collected(dataset(scene.raw)), ("producer",))
    del scene.statements["audit"]


@attack("rule known-writers")
def best_effort_naming(scene: Scene) -> None:
    """A producer who may not have named every teacher."""
    scene.replace("raw", scene.generated(named="best-effort"))


@attack("problem unreadable")
def nameless_weights(scene: Scene) -> None:
    """A teacher with neither a digest nor a reason."""
    scene.changed("raw", lambda t: parameters(t)["teachers"][0].pop("weightsDigest"))


@attack("problem inconsistent")
def tuned_on_nothing(scene: Scene) -> None:
    """A teacher's fine-tune that names no data."""
    scene.changed(
        "teacher", lambda t: t["predicate"]["buildDefinition"]["resolvedDependencies"].pop(1)
    )
    scene.policy = "safety-critical"


@attack("rule age", "TUF specification, freeze attacks")
def old_data(scene: Scene) -> Iterator[None]:
    """Data a year old."""
    scene.replace("audit", scene.audited(valid_until=time_text(NOW + timedelta(days=900))))
    yield
    scene.now = NOW + timedelta(days=400)


@attack("error lines", "CVE-2024-29903")
def flooded_bundle(scene: Scene) -> None:
    """A bundle of 20,000 lines."""
    scene.lines.append(b"\n" * 20_000)


def in_a_folder(scene: Scene, **files: str) -> Path:
    """Files of nine rows each in a folder, which is attested and audited in the place of the filtered rows."""
    folder = scene.folder / "set"
    folder.mkdir()
    for name, word in files.items():
        write_rows(folder / f"{name}.jsonl", rows(9, word))
    scene.data = folder
    scene.replace("filter", scene.generated(subject=dataset(folder)))
    scene.replace("audit", scene.audited())
    return folder


def by_two(scene: Scene, *further: str) -> None:
    """The producer's statements signed by these keys as well, where two signatures are asked for."""
    scene.thresholds["producer"] = 2
    scene.keys["second"] = {"roles": ["producer"]}
    for name in ("lessons", "teacher", "raw", "filter"):
        scene.replace(name, scene.statements[name][0], "producer", *further)


def parameters(table: dict[str, Any]) -> dict[str, Any]:
    """What a step was asked."""
    found: dict[str, Any] = table["predicate"]["buildDefinition"]["externalParameters"]
    return found


# The others add themselves to the table when they are imported.
for _more in ("keys", "documents", "files"):
    import_module(f"tests.provenance.attacks_on_{_more}")
