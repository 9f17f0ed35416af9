"""The gate: what each rule says of facts, and that ignorance never allows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.provenance.scene import BASE, Scene, pem, signer, signing
from undertow.policy.decisions import answer
from undertow.policy.gate import compiled_rules, decide, sign_summary
from undertow.policy.rules import (
    AnyRule,
    AuditorDiffers,
    LargestAge,
    LargestDose,
    LeastFamilies,
    LineageMeasured,
    NoFailedAudit,
    RefuseUnvetted,
    RequireAudit,
    RequireProvenance,
    load_policy,
)
from undertow.provenance.envelope import read_envelope, verified_by
from undertow.results.provenance_documents import AuditFact, Facts, TeacherFact

TEACHER = TeacherFact(
    name="t", model="t", digest=BASE, role="teacher", access="weights", family="f", shared="no",
    evidence="measured", measured=True,
)  # fmt: skip
AUDIT = AuditFact(
    attestation="0" * 64, suite="undertow.scan", verdict="passed", student=BASE, at="", valid_until="",
    age_days=3, auditors=("house",), independent=True, power="0.9", power_at="0.5", counts=True,
)  # fmt: skip
KNOWN = Facts(
    digest="d" * 64, rows=10, student_digest=BASE, student_known=True, provenance_complete=True,
    data_complete=True, teachers_complete=True, teachers=(TEACHER,), families=("f",),
    shared_initialisation="no", shared_evidence="measured", audits=(AUDIT,), domains=("numbers",),
    model_written=0.4, model_written_known=True, filters_proved=True, producers=("lab",), oldest_days=5,
    newest_days=1,
)  # fmt: skip
WITHIN = AUDIT.model_copy(update={"verdict": "within", "power": None, "power_at": None})
"""An audit of the beginning of the plan."""
OWN = WITHIN.model_copy(update={"independent": False})
UNKNOWN = Facts(
    digest="d" * 64, rows=None, student_digest=None, student_known=False, provenance_complete=False,
    data_complete=False, teachers_complete=False, shared_initialisation="unknown", shared_evidence="none",
    model_written=1.0, model_written_known=False, filters_proved=False,
)  # fmt: skip

CASES: list[tuple[AnyRule, dict[str, Any], str]] = [
    (RequireProvenance(id="r", kind="require-provenance"), {}, "passed"),
    (RequireProvenance(id="r", kind="require-provenance"), {"data_complete": False}, "refused"),
    (RequireProvenance(id="r", kind="require-provenance", scope="whole"), {"provenance_complete": False}, "refused"),
    (RequireProvenance(id="r", kind="require-provenance"), {"teachers_complete": False}, "refused"),
    (RequireProvenance(id="r", kind="require-provenance", filters_proved=True), {"filters_proved": False}, "refused"),
    (RequireAudit(id="r", kind="require-audit"), {}, "not_matched"),
    (RequireAudit(id="r", kind="require-audit"), {"shared_initialisation": "unknown", "audits": ()}, "refused"),
    (RequireAudit(id="r", kind="require-audit"), {"shared_initialisation": "yes"}, "passed"),
    (RequireAudit(id="r", kind="require-audit", when="always"), {"audits": ()}, "refused"),
    (RequireAudit(id="r", kind="require-audit", when="always", least_power=0.95), {}, "refused"),
    (RequireAudit(id="r", kind="require-audit", when="always", least_power=0.9, at_most_logits=0.4), {}, "refused"),
    (RequireAudit(id="r", kind="require-audit", when="always", least_power=0.9, at_most_logits=0.5), {}, "passed"),
    (RequireAudit(id="r", kind="require-audit", when="always", suites=("other",)), {}, "refused"),
    (RequireAudit(id="r", kind="require-audit", when="always"), {"audits": (WITHIN,)}, "refused"),
    (RequireAudit(id="r", kind="require-audit", when="always", accept_within=True), {"audits": (WITHIN,)}, "passed"),
    (RequireAudit(id="r", kind="require-audit", when="always", accept_within=True), {}, "passed"),
    (RequireAudit(id="r", kind="require-audit", when="always", accept_within=True, independent=True), {"audits": (OWN,)}, "refused"),
    (RequireAudit(id="r", kind="require-audit", when="always", accept_within=True), {"audits": (WITHIN.model_copy(update={"counts": False}),)}, "refused"),
    (RequireAudit(id="r", kind="require-audit", when="always", accept_within=True), {"audits": (AUDIT.model_copy(update={"verdict": "undecided"}),)}, "refused"),
    (RequireAudit(id="r", kind="require-audit", when="always", independent=True), {"audits": (AUDIT.model_copy(update={"independent": False}),)}, "refused"),
    (RequireAudit(id="r", kind="require-audit"), {"shared_evidence": "declared", "audits": ()}, "refused"),
    (RequireAudit(id="r", kind="require-audit", least_evidence="declared"), {"shared_evidence": "declared"}, "not_matched"),
    (NoFailedAudit(id="r", kind="no-failed-audit"), {}, "passed"),
    (NoFailedAudit(id="r", kind="no-failed-audit"), {"audits": (WITHIN,)}, "passed"),
    (NoFailedAudit(id="r", kind="no-failed-audit"), {"audits": (AUDIT.model_copy(update={"verdict": "failed"}),)}, "refused"),
    (RefuseUnvetted(id="r", kind="refuse-unvetted", domains=("law",)), {}, "not_matched"),
    (RefuseUnvetted(id="r", kind="refuse-unvetted", domains=("Numbers",)), {}, "passed"),
    (RefuseUnvetted(id="r", kind="refuse-unvetted", domains=("numbers",)), {"audits": ()}, "refused"),
    (RefuseUnvetted(id="r", kind="refuse-unvetted", domains=("numbers",)), {"audits": (WITHIN,)}, "refused"),
    (RefuseUnvetted(id="r", kind="refuse-unvetted", domains=("numbers",)), {"audits": (), "model_written": 0.0}, "passed"),
    (RefuseUnvetted(id="r", kind="refuse-unvetted", domains=("law",)), {"domains": ()}, "refused"),
    (LeastFamilies(id="r", kind="least-families", families=1), {}, "passed"),
    (LeastFamilies(id="r", kind="least-families", families=2), {}, "refused"),
    (LeastFamilies(id="r", kind="least-families", families=2), {"teachers": (), "model_written": 0.0}, "not_matched"),
    (AuditorDiffers(id="r", kind="auditor-differs"), {}, "passed"),
    (AuditorDiffers(id="r", kind="auditor-differs"), {"audits": ()}, "not_matched"),
    (AuditorDiffers(id="r", kind="auditor-differs"), {"audits": (AUDIT.model_copy(update={"independent": False}),)}, "refused"),
    (AuditorDiffers(id="r", kind="auditor-differs"), {"audits": (OWN,)}, "refused"),
    (AuditorDiffers(id="r", kind="auditor-differs"), {"audits": (WITHIN,)}, "passed"),
    (AuditorDiffers(id="r", kind="auditor-differs"), {"audits": (AUDIT.model_copy(update={"independent": False}), WITHIN)}, "refused"),
    (LargestAge(id="r", kind="largest-age", days=2, of="audits"), {"audits": (WITHIN,)}, "refused"),
    (LargestAge(id="r", kind="largest-age", days=5), {}, "passed"),
    (LargestAge(id="r", kind="largest-age", days=4), {}, "refused"),
    (LargestAge(id="r", kind="largest-age", days=4, of="audits"), {}, "passed"),
    (LargestAge(id="r", kind="largest-age", days=2, of="audits"), {}, "refused"),
    (LargestAge(id="r", kind="largest-age", days=9), {"oldest_days": None}, "refused"),
    (LargestDose(id="r", kind="largest-dose", share=0.4), {}, "passed"),
    (LargestDose(id="r", kind="largest-dose", share=0.39), {}, "refused"),
    (LargestDose(id="r", kind="largest-dose", share=1.0), {"model_written_known": False}, "refused"),
    (LineageMeasured(id="r", kind="lineage-measured"), {}, "passed"),
    (LineageMeasured(id="r", kind="lineage-measured"), {"teachers": (TEACHER.model_copy(update={"measured": False}),)}, "refused"),
    (LineageMeasured(id="r", kind="lineage-measured"), {"teachers": ()}, "refused"),
]  # fmt: skip

SAFE_ON_NOTHING = (NoFailedAudit, AuditorDiffers)
"""Rules that speak of audits there are; without any they have nothing to refuse."""


@pytest.mark.parametrize(
    ("rule", "changes", "outcome"),
    CASES,
    ids=[f"{n}-{c[0].kind}-{c[2]}" for n, c in enumerate(CASES)],  # type: ignore[attr-defined]
)
def test_each_rule_decides_by_its_facts(
    rule: AnyRule, changes: dict[str, Any], outcome: str
) -> None:
    """And a refusal says why and what to do."""
    found = answer(rule, KNOWN.model_copy(update=changes))

    assert found.outcome == outcome, found.reason
    assert found.reason
    assert bool(found.todo) == (outcome == "refused")


def test_a_refusal_of_the_beginning_says_what_would_do() -> None:
    """Both ways: another scan, or another policy."""
    rule = RequireAudit(id="r", kind="require-audit", when="always")
    refused = answer(rule, KNOWN.model_copy(update={"audits": (WITHIN,)}))

    assert "says 'within', which is about the beginning of the plan" in refused.reason
    assert "accept_within" in refused.reason
    assert "--require clear" in refused.todo


def test_an_accepted_beginning_does_not_pass_for_the_whole() -> None:
    """The reason of a decision says what it rests on."""
    rule = RequireAudit(id="r", kind="require-audit", when="always", accept_within=True)
    accepted = answer(rule, KNOWN.model_copy(update={"audits": (WITHIN,)}))

    assert accepted.reason.endswith("found it within its references in the beginning of the plan")


@pytest.mark.parametrize(
    "rule", [case[0] for case in CASES], ids=[str(n) for n in range(len(CASES))]
)
def test_nothing_known_refuses(rule: AnyRule) -> None:
    """Facts of a dataset of which nothing is known pass no rule that asks for knowledge."""
    outcome = answer(rule, UNKNOWN).outcome

    of_audits = isinstance(rule, SAFE_ON_NOTHING) or getattr(rule, "of", "") == "audits"
    assert outcome == "refused" or of_audits
    assert outcome != "passed" or isinstance(rule, NoFailedAudit)


@given(st.data())
def test_taking_statements_away_never_helps(data: st.DataObject) -> None:
    """Where facts become unknown, a rule that refused goes on refusing."""
    rule = data.draw(st.sampled_from([case[0] for case in CASES]))
    changes = data.draw(st.sampled_from([case[1] for case in CASES]))
    known = KNOWN.model_copy(update=changes)
    names = data.draw(
        st.sets(
            st.sampled_from(
                [
                    "provenance_complete",
                    "data_complete",
                    "teachers_complete",
                    "model_written_known",
                    "filters_proved",
                ]
            )
        )
    )
    less = known.model_copy(update=dict.fromkeys(names, False))

    assert answer(rule, less).outcome != "passed" or answer(rule, known).outcome == "passed"


def policy(folder: Path, rules: str) -> str:
    """A policy file."""
    path = folder / "p.toml"
    path.write_text(f'title = "T"\n{rules}')
    return str(path)


@pytest.mark.parametrize(
    ("expression", "outcome", "words"),
    [
        ("facts.rows == 36 && facts.teachers.all(t, t.access == 'weights')", "passed", "true"),
        ("facts.rows > 36", "refused", "it is false"),
        ("facts.nothing > 1", "refused", "no truth value .*nothing"),
        ("facts.teachers[7].name == 'x'", "refused", "no truth value"),
        ("facts.rows", "refused", "no truth value"),
        ("facts.conclusion.matches('a')", "refused", "no truth value"),
        ("[1,2,3,4,5,6,7,8].all(a, [1,2,3,4,5,6,7,8].all(b, [1,2,3,4,5,6,7,8].all(c, [1,2,3,4,5,6,7,8].all(d, [1,2,3,4,5,6,7,8].all(e, [1,2,3,4,5,6,7,8].all(f, true))))))", "refused", "could not be evaluated"),
    ],
)  # fmt: skip
def test_only_exactly_true_passes(
    expression: str, outcome: str, words: str, tmp_path: Path
) -> None:
    """False, an error, another type and an exhausted budget refuse."""
    pytest.importorskip("cel_expr_python", reason="the extra 'cel' is not installed")
    scene = Scene(tmp_path)
    scene.policy = policy(
        tmp_path, f"[[rules]]\nid = 'a'\nkind = 'cel'\nexpression = {json.dumps(expression)}"
    )
    (rule,) = scene.ask().rules

    assert rule.outcome == outcome, rule.reason
    assert re.search(words, rule.reason)


@pytest.mark.parametrize(
    ("written", "decision"), [("", "refused"), ("\neven_if_incomplete = true", "allowed")]
)
def test_all_of_nothing_is_no_proof(written: str, decision: str, tmp_path: Path) -> None:
    """Where no statement counts, the list of teachers is empty and `all()` of it true: that passes only in writing."""
    pytest.importorskip("cel_expr_python", reason="the extra 'cel' is not installed")
    scene = Scene(tmp_path)
    scene.statements.clear()
    rule = "[[rules]]\nid = 'a'\nkind = 'cel'\nexpression = \"facts.teachers.all(t, t.shared == 'no')\""
    scene.policy = policy(tmp_path, rule + written)

    assert scene.ask().decision == decision


def test_a_policy_of_which_nothing_applies_allows_nothing(tmp_path: Path) -> None:
    """And each rule that never matched is warned of."""
    scene = Scene(tmp_path)
    scene.policy = policy(
        tmp_path, "[[rules]]\nid = 'a'\nkind = 'no-failed-audit'\nonly_domains = ['law']"
    )
    document = scene.ask()

    assert document.decision == "refused"
    assert "nothing allows it" in document.conclusion
    assert document.warnings == (
        "the rule 'a' never matched: the data is of 'numbers', and it is for 'law'",
    )


def test_a_refusal_says_how_many_rules_refuse_and_what_to_do(tmp_path: Path) -> None:
    """Each thing to do begins with words; the command stands behind them."""
    scene = Scene(tmp_path)
    scene.statements.clear()
    document = scene.ask()
    todo = [rule.todo for rule in document.rules if rule.outcome == "refused"]

    assert re.match(r"refused by \d of \d rules, first by 'known-writers': ", document.conclusion)
    assert len(todo) > 1
    assert not [told for told in todo if told.startswith("undertow")]


def test_safety_critical_refuses_what_the_default_allows(tmp_path: Path) -> None:
    """The honest scene has one family, no measured lineage, and no people's rows."""
    scene = Scene(tmp_path, policy="safety-critical")
    refused = {rule.id for rule in scene.ask().rules if rule.outcome == "refused"}

    assert refused == {"lineage-measured", "several-families", "dose"}


@pytest.mark.parametrize("tampered", [False, True])
def test_a_summary_says_what_was_decided(tampered: bool, tmp_path: Path) -> None:
    """PASSED or FAILED, the policy's digest and the statements it rests on, under the gate's signature."""
    scene = Scene(tmp_path)
    if tampered:
        del scene.statements["audit"]
    document = scene.ask()
    path = tmp_path / "vsa.intoto.jsonl"
    sign_summary(document, path, signing("gate"))
    envelope = read_envelope(path.read_bytes(), "vsa")
    said = json.loads(envelope.payload)["predicate"]

    assert verified_by(envelope, {"gate": signer("gate").public_key}) == {"gate"}
    assert (said["verificationResult"], said["verifiedLevels"]) == (
        ("FAILED", ["FAILED"]) if tampered else ("PASSED", ["UNDERTOW_DEFAULT"])
    )
    assert {each["digest"]["sha256"] for each in said["inputAttestations"]} == {
        link.attestation for link in document.verification.links
    }


def test_the_gate_is_asked_once_for_each_policy(tmp_path: Path) -> None:
    """Deciding is pure: the same facts and policy give the same document."""
    checked = Scene(tmp_path).ask().verification
    loaded = load_policy("default")

    assert decide(loaded, compiled_rules(loaded), checked) == decide(loaded, {}, checked)
    assert pem("gate").startswith("-----BEGIN PUBLIC KEY")


@pytest.mark.parametrize("gone", [None, "lessons", "teacher", "raw", "filter", "audit"])
def test_every_statement_of_a_whole_chain_is_needed(gone: str | None, tmp_path: Path) -> None:
    """Where the whole chain and an audit are asked for, taking away any one line refuses."""
    scene = Scene(tmp_path)
    scene.policy = policy(
        tmp_path,
        "[[rules]]\nid = 'whole'\nkind = 'require-provenance'\nscope = 'whole'\nfilters_proved = true\n"
        "[[rules]]\nid = 'audit'\nkind = 'require-audit'\nwhen = 'always'\n",
    )
    if gone is not None:
        del scene.statements[gone]

    assert scene.ask().decision == ("allowed" if gone is None else "refused")
