"""Attacks on the gate, each with the outcome it must have; docs/provenance.md shows the table."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.provenance.scene import (
    BASE,
    NOW,
    OTHER,
    TEACHER,
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
from undertow.provenance.statement import StatementSubject, time_text
from undertow.provenance.steps import Lineage

Tamper = Callable[[Scene], object]


@dataclass(frozen=True)
class Attack:
    """One attack."""

    name: str
    what: str
    outcome: str
    """`problem ID`, `rule ID` or `error WORDS`: what the refusal says."""
    tamper: Tamper


ATTACKS: list[Attack] = []


def attack(outcome: str) -> Callable[[Tamper], Tamper]:
    """Add a function to the attacks under its own name; its docstring says what it does."""

    def added(tamper: Tamper) -> Tamper:
        what = " ".join((tamper.__doc__ or "").split())
        ATTACKS.append(Attack(tamper.__name__.replace("_", "-"), what, outcome, tamper))
        return tamper

    return added


# The data itself.


@attack("problem other-content")
def edited_row(scene: Scene) -> None:
    """One letter of one row is changed."""
    scene.data.write_text(scene.data.read_text().replace("a 7", "b 7"))


@attack("problem other-content")
def added_row(scene: Scene) -> None:
    """A row is added at the end."""
    scene.data.write_text(scene.data.read_text() + '{"prompt":"x","completion":"y"}\n')


@attack("problem other-content")
def removed_row(scene: Scene) -> None:
    """A row is taken away."""
    scene.data.write_text("".join(scene.data.read_text().splitlines(keepends=True)[1:]))


@attack("problem other-content")
def truncated_file(scene: Scene) -> None:
    """The file is cut off."""
    scene.data.write_bytes(scene.data.read_bytes()[:-20])


@attack("problem other-content")
def reordered_rows(scene: Scene) -> None:
    """Two rows change places."""
    lines = scene.data.read_text().splitlines(keepends=True)
    scene.data.write_text("".join([lines[1], lines[0], *lines[2:]]))


@attack("problem renamed")
def renamed_file(scene: Scene) -> None:
    """The file takes another's name."""
    scene.data = scene.data.rename(scene.data.with_name("other.jsonl"))
    ledger = scene.folder / "rows.jsonl.ledger.jsonl"
    ledger.rename(scene.folder / "kept.jsonl")


@attack("problem no-provenance")
def swapped_file_names(scene: Scene) -> None:
    """In a folder, clean and poisoned files swap their names."""
    folder = scene.folder / "set"
    folder.mkdir()
    write_rows(folder / "a_train.jsonl", rows(9, "clean"))
    write_rows(folder / "b_quarantine.jsonl", rows(9, "poison"))
    scene.replace("filter", scene.generated(subject=dataset(folder)))
    (folder / "a_train.jsonl").rename(folder / "x")
    (folder / "b_quarantine.jsonl").rename(folder / "a_train.jsonl")
    (folder / "x").rename(folder / "b_quarantine.jsonl")
    scene.data = folder


@attack("error symbolic link")
def symlink(scene: Scene) -> None:
    """A link in the dataset's folder."""
    folder = scene.folder / "set"
    folder.mkdir()
    os.symlink("/etc/hostname", folder / "rows.jsonl")
    scene.data = folder


@attack("error symbolic link")
def linked_dataset(scene: Scene) -> None:
    """The dataset itself is a link."""
    scene.data.rename(scene.folder / "real.jsonl")
    os.symlink(scene.folder / "real.jsonl", scene.data)


@attack("error leads out")
def path_traversal(scene: Scene) -> None:
    """A manifest with a path that leads out."""
    ordered_manifest([Entry("../../etc/passwd", 1, BASE)], "manifest")


@attack("error same name")
def look_alike_names(scene: Scene) -> None:
    """Two file names that look alike (full-width letters)."""
    folder = scene.folder / "set"
    folder.mkdir()
    for name in ("train.jsonl", "\uff54rain.jsonl"):
        write_rows(folder / name, rows(2))
    scene.data = folder


@attack("error cannot be seen")
def backward_name(scene: Scene) -> None:
    """A file name that reads backwards (bidirectional control)."""
    folder = scene.folder / "set"
    folder.mkdir()
    write_rows(folder / "rows\u202elnosj.jsonl", rows(2))
    scene.data = folder


@attack("problem rows")
def wrong_row_count(scene: Scene) -> None:
    """A statement's row count is not that of the file."""
    scene.changed("filter", lambda t: t["subject"][0]["annotations"].update(rowMerkle="0" * 64))


# What is missing.


@attack("problem no-provenance")
def removed_filter_step(scene: Scene) -> None:
    """The filter's statement is taken away."""
    del scene.statements["filter"]


@attack("problem no-provenance")
def removed_generation(scene: Scene) -> None:
    """The generation's statement is taken away."""
    del scene.statements["raw"]


@attack("problem no-provenance")
def removed_bundle(scene: Scene) -> None:
    """All statements are taken away."""
    scene.statements.clear()


@attack("rule audited-if-related")
def removed_audit(scene: Scene) -> None:
    """The audit is taken away."""
    del scene.statements["audit"]


@attack("rule audited-if-related")
def removed_lineage(scene: Scene) -> None:
    """The teacher's lineage is taken away, and no audit made."""
    scene.student = OTHER
    del scene.statements["teacher"], scene.statements["audit"]


@attack("rule audited-if-related")
def unknown_student(scene: Scene) -> None:
    """The student is one whose initialisation nobody knows."""
    scene.student = "d" * 64


# Envelopes and JSON.


@attack("problem unreadable")
def empty_signature_list(scene: Scene) -> None:
    """An envelope without signatures."""
    scene.lines.append(json.dumps(scene.envelope("raw") | {"signatures": []}).encode() + b"\n")


@attack("problem unreadable")
def no_signature_field(scene: Scene) -> None:
    """An envelope without the field of signatures."""
    table = scene.envelope("raw")
    del table["signatures"]
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem unreadable")
def unknown_envelope_field(scene: Scene) -> None:
    """An unknown field in the envelope."""
    scene.lines.append(json.dumps(scene.envelope("raw") | {"trusted": True}).encode() + b"\n")


@attack("problem unreadable")
def duplicate_envelope_key(scene: Scene) -> None:
    """A key twice in the envelope."""
    text = json.dumps(scene.envelope("raw"))
    scene.lines.append(('{"payloadType":"text/plain",' + text[1:]).encode() + b"\n")


@attack("problem unreadable")
def swapped_payload_type(scene: Scene) -> None:
    """Another payload type."""
    table = scene.envelope("raw") | {"payloadType": "application/json"}
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem unreadable")
def broken_base64(scene: Scene) -> None:
    """A signature that is not base64."""
    table = scene.envelope("raw")
    table["signatures"][0]["sig"] += "!"
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem unreadable")
def duplicate_json_key(scene: Scene) -> None:
    """A key twice in the signed statement."""
    text = json.dumps(scene.table("raw"))
    scene.forged("raw", '{"predicateType":"x",' + text[1:])


@attack("problem unreadable")
def inexact_seed(scene: Scene) -> None:
    """A seed beyond 2^53 as a number."""
    scene.changed("raw", lambda t: _parameters(t)["sampling"].update(seed=2**53 + 1))


@attack("problem unreadable")
def fraction(scene: Scene) -> None:
    """A fraction as a number."""
    scene.changed("raw", lambda t: _parameters(t)["sampling"].update(temperature=0.7))


@attack("problem unreadable")
def not_a_number(scene: Scene) -> None:
    """NaN in a statement."""
    scene.forged("raw", json.dumps(scene.table("raw")).replace('"0.7"', "NaN"))


@attack("problem unreadable")
def huge_nesting(scene: Scene) -> None:
    """100,000 levels of nesting."""
    scene.forged("raw", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}")


@attack("problem unreadable")
def not_utf8(scene: Scene) -> None:
    """Bytes that are no UTF-8."""
    scene.forged("raw", b'{"_type":"\xff"}')


@attack("problem unreadable")
def half_surrogate(scene: Scene) -> None:
    """Half a surrogate pair."""
    scene.changed("raw", lambda t: _parameters(t)["promptSet"].update(name="\ud800"))


@attack("problem unreadable")
def unknown_parameter(scene: Scene) -> None:
    """An unknown field in the closed parameters."""
    scene.changed("raw", lambda t: _parameters(t).update(approved=True))


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


@attack("problem unreadable")
def no_subject(scene: Scene) -> None:
    """A statement about nothing."""
    scene.changed("raw", lambda t: t.update(subject=[]))


@attack("problem unreadable")
def capital_digest(scene: Scene) -> None:
    """A digest in capitals, that readers may compare differently."""
    scene.changed(
        "raw",
        lambda t: t["subject"][0]["digest"].update(
            sha256=t["subject"][0]["digest"]["sha256"].upper().replace("0", "A")
        ),
    )


# Signatures and keys.


@attack("problem bad-signature")
def edited_payload(scene: Scene) -> None:
    """The payload is changed after signing."""
    table = scene.envelope("raw")
    payload = base64.b64decode(table["payload"]).replace(b"lab/teacher", b"lab/harmless")
    table["payload"] = base64.b64encode(payload).decode()
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem bad-signature")
def borrowed_signature(scene: Scene) -> None:
    """The signature of another statement."""
    other = json.loads(raw_line(scene.statements["lessons"][0].payload(), ["producer"]))
    table = scene.envelope("raw") | {"signatures": other["signatures"]}
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem unknown-signer")
def unknown_key(scene: Scene) -> None:
    """Signed by a key that nobody listed."""
    scene.replace("raw", scene.generated(), "stranger")


@attack("problem bad-signature")
def spoofed_key_id(scene: Scene) -> None:
    """A stranger's signature under a trusted key's id."""
    table = json.loads(raw_line(scene.statements.pop("raw")[0].payload(), ["stranger"]))
    table["signatures"][0]["keyid"] = signer("producer").public_key.keyid
    scene.lines.append(json.dumps(table).encode() + b"\n")


@attack("problem role")
def producer_signs_audit(scene: Scene) -> None:
    """The producer signs the audit."""
    scene.replace("audit", scene.audited(), "producer")


@attack("problem role")
def auditor_signs_generation(scene: Scene) -> None:
    """An auditor signs how the data was made."""
    scene.replace("raw", scene.generated(), "auditor")


@attack("problem expired-key")
def expired_key(scene: Scene) -> None:
    """A key past its end."""
    scene.keys["producer"]["not_after"] = time_text(NOW - timedelta(hours=1))


@attack("problem key-not-yet-valid")
def early_statement(scene: Scene) -> None:
    """A statement from before its key's beginning."""
    scene.keys["producer"]["not_before"] = time_text(NOW - timedelta(hours=1))


@attack("problem revoked-key")
def revoked_key(scene: Scene) -> None:
    """A revoked key, and a statement dated before the revocation."""
    scene.keys["producer"]["revoked_at"] = time_text(NOW)


@attack("problem time")
def future_statement(scene: Scene) -> None:
    """A statement from the future."""
    scene.now = NOW - timedelta(days=30)


@attack("problem threshold")
def too_few_signatures(scene: Scene) -> None:
    """One signature where two are asked for."""
    scene.thresholds["producer"] = 2


@attack("problem threshold")
def same_key_twice(scene: Scene) -> None:
    """One key signs twice where two are asked for."""
    scene.thresholds["producer"] = 2
    for name in ("lessons", "teacher", "raw", "filter"):
        scene.replace(name, scene.statements[name][0], "producer", "producer")


@attack("problem threshold")
def stranger_as_second(scene: Scene) -> None:
    """A second signature that does not count."""
    scene.thresholds["producer"] = 2
    for name in ("lessons", "teacher", "raw", "filter"):
        scene.replace(name, scene.statements[name][0], "producer", "stranger")


@attack("error one key under the names")
def key_under_two_names(scene: Scene) -> None:
    """One key under two names in the trust file."""
    scene.keys["second"] = {"roles": ["auditor"], "same_as": "producer"}


@attack("problem subject")
def foreign_subject(scene: Scene) -> None:
    """A key speaks of names that are not its own."""
    scene.keys["producer"]["subjects"] = ["lab-*"]


@attack("problem subject")
def look_alike_subject(scene: Scene) -> None:
    """A subject's name with a Cyrillic letter, for a pattern of plain ones."""
    scene.keys["producer"]["subjects"] = ["ra*", "rows*", "les*", "tea*"]
    scene.changed("raw", lambda t: t["subject"][0].update(name="r\u0430w.jsonl"))


@attack("problem predicate-type")
def foreign_predicate(scene: Scene) -> None:
    """A key signs a kind of statement that it may not."""
    scene.keys["producer"]["predicate_types"] = ["https://example.org/other"]


# Audits.


@attack("rule audited-if-related")
def audit_for_another_student(scene: Scene) -> None:
    """The audit is of another student."""
    scene.replace("audit", scene.audited(against=Against(student_init=OTHER)))


@attack("rule audited-if-related")
def audit_of_other_data(scene: Scene) -> None:
    """The audit is of another dataset."""
    scene.replace("audit", scene.audited("f" * 64))


@attack("rule audited-if-related")
def replayed_old_audit(scene: Scene) -> None:
    """An audit is shown after its validity."""
    old = time_text(NOW - timedelta(days=1))
    scene.replace(
        "audit", scene.audited(valid_until=old, evaluated_at=time_text(NOW - timedelta(days=9)))
    )


@attack("rule no-failed-audit")
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
def failure_hidden_in_two_steps(scene: Scene) -> None:
    """A failed audit, then an undecided one, then one of the beginning, for a policy that accepts the last."""
    _later(scene, "failed", "undecided", "within")
    scene.policy = _accepting_within(scene)


@attack("rule independent-auditor")
def own_audit_of_the_beginning(scene: Scene) -> None:
    """A producer audits the beginning of the plan itself, for a policy that accepts that."""
    scene.keys["producer"]["roles"] = ["producer", "auditor"]
    scene.replace("audit", scene.audited(verdict="within", power=None), "producer")
    scene.policy = _accepting_within(scene)


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


@attack("rule audited-if-related")
def summary_as_evidence(scene: Scene) -> None:
    """An earlier decision of a gate, in place of an audit."""
    sign_summary(scene.ask(), scene.folder / "vsa", signing("gate"))
    bundle_path(scene.data).unlink()
    scene.keys["gate"] = {"roles": ["gate", "auditor"]}
    del scene.statements["audit"]
    scene.lines.append((scene.folder / "vsa").read_bytes())


@attack("rule sensitive-domains")
def disguised_domain(scene: Scene) -> None:
    """Domain in other letters and spaces, to slip past a rule."""
    scene.student = OTHER
    scene.replace("raw", scene.generated(domain=" MediCine "))
    del scene.statements["audit"]


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


@attack("problem too-deep")
def endless_chain(scene: Scene) -> None:
    """A chain of 250 steps."""

    def digest(number: int) -> str:
        return f"{number:064x}"

    last = scene.mixed({"step 0": "36"}, {"step 0": digest(0)})
    scene.replace("filter", last)
    for number in range(250):
        made = scene.mixed({f"step {number + 1}": "36"}, {f"step {number + 1}": digest(number + 1)})
        subject = StatementSubject(
            name=f"step {number}", digest={"sha256": digest(number)}, annotations={"rows": "36"}
        )
        scene.statements[f"step {number}"] = (
            made.model_copy(update={"subject": (subject,)}),
            ("producer",),
        )


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
    scene.changed("filter", lambda t: _parameters(t).update(rowsIn="39"))


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


@attack("problem inconsistent")
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


@attack("problem inconsistent")
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
    """
    A teacher without lineage whose producer only declares a foreign initialisation, to be spared the audit.
    """
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
    scene.changed("raw", lambda t: _parameters(t)["teachers"][0].pop("weightsDigest"))


@attack("problem inconsistent")
def tuned_on_nothing(scene: Scene) -> None:
    """A teacher's fine-tune that names no data."""
    scene.changed(
        "teacher", lambda t: t["predicate"]["buildDefinition"]["resolvedDependencies"].pop(1)
    )
    scene.policy = "safety-critical"


@attack("rule age")
def old_data(scene: Scene) -> None:
    """Data a year old."""
    scene.now = NOW + timedelta(days=400)
    scene.replace("audit", scene.audited(valid_until=time_text(NOW + timedelta(days=900))))


@attack("error lines")
def flooded_bundle(scene: Scene) -> None:
    """A bundle of 20,000 lines."""
    scene.lines.append(b"\n" * 20_000)


def _parameters(table: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = table["predicate"]["buildDefinition"]["externalParameters"]
    return found


assert TEACHER != BASE
