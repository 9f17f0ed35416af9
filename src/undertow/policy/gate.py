"""
The gate: facts and a policy in; a decision with every rule's reason out, and its signed summary for whoever relies on it.

Source of the summary: SLSA, "Verification Summary Attestation", version 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from undertow import __version__
from undertow.data.files import atomic_write
from undertow.policy.decisions import (
    SHOWN_BY,
    Decide,
    RuleAnswer,
    answer,
    compiled,
    domains_among,
)
from undertow.policy.rules import Custom, LoadedPolicy
from undertow.provenance.signed_steps import Signing, signed, statement
from undertow.provenance.signed_verdicts import (
    SUMMARY,
    Summary,
    SummaryInput,
    SummaryPolicy,
    Verifier,
)
from undertow.provenance.statement import StatementSubject
from undertow.results.provenance_documents import Facts, GateDocument, RuleResult, VerifyDocument

SUFFIX = ".vsa.intoto.jsonl"
"""Of the file beside the dataset; never read as evidence."""


def compiled_rules(loaded: LoadedPolicy) -> dict[str, Decide]:
    """
    The policy's custom rules, compiled before any data is read.

    Raises:
        ConfigError: one of them is no CEL.
        MissingExtraError: it has such rules, and the evaluator is not installed.
    """
    where = f"'{loaded.name}'"
    return {
        rule.id: compiled(rule, where) for rule in loaded.policy.rules if isinstance(rule, Custom)
    }


def decide(
    loaded: LoadedPolicy,
    custom: dict[str, Decide],
    verification: VerifyDocument,
    *,
    command: str = "",
) -> GateDocument:
    """
    Decide by the policy whether the data may be trained on.

    Args:
        custom: what `compiled_rules` gives.
    """
    rules = tuple(
        _result(loaded, custom, index, verification.facts)
        for index in range(len(loaded.policy.rules))
    )
    allowed = any(rule.outcome == "passed" for rule in rules) and not any(
        rule.outcome == "refused" for rule in rules
    )
    return GateDocument(
        decision="allowed" if allowed else "refused",
        conclusion=_conclusion(rules, allowed=allowed),
        policy=loaded.name,
        policy_title=loaded.policy.title,
        policy_digest=loaded.digest,
        rules=rules,
        warnings=tuple(
            f"the rule '{rule.id}' never matched: {rule.reason}"
            for rule in rules
            if rule.outcome == "not_matched"
        ),
        verification=verification,
        at=verification.at,
        command=command,
    )


def sign_summary(document: GateDocument, path: Path, signing: Signing) -> None:
    """
    Sign the decision into a file of its own.

    Raises:
        ProvenanceError: the key service refuses.
    """
    verification = document.verification
    allowed = document.decision == "allowed"
    summary = Summary(
        verifier=Verifier(id="urn:undertow:gate/v1", version={"undertow": __version__}),
        time_verified=document.at,
        resource_uri=f"urn:sha256:{verification.facts.digest}",
        policy=SummaryPolicy(uri=document.policy, digest={"sha256": document.policy_digest}),
        input_attestations=tuple(
            SummaryInput(digest={"sha256": digest})
            for digest in dict.fromkeys(link.attestation for link in verification.links)
        ),
        verification_result="PASSED" if allowed else "FAILED",
        verified_levels=(_level(document) if allowed else "FAILED",),
    )
    subject = StatementSubject(
        name=Path(verification.data).name, digest={"sha256": verification.facts.digest}
    )
    atomic_write(path, signed(statement(SUMMARY, [subject], summary), signing).line())


def _result(
    loaded: LoadedPolicy, custom: dict[str, Decide], index: int, facts: Facts
) -> RuleResult:
    rule = loaded.policy.rules[index]
    if not _applies(rule.only_domains, facts):
        reason = (
            f"the data is of {_words(facts.domains)}, and it is for {_words(rule.only_domains)}"
        )
        answered = RuleAnswer("not_matched", reason)
    elif isinstance(rule, Custom) and not (facts.data_complete or rule.even_if_incomplete):
        told = "the chain is incomplete, so the facts are not all known"
        answered = RuleAnswer("refused", told, SHOWN_BY)
    elif isinstance(rule, Custom):
        true, told = custom[rule.id](facts)
        refusal = rule.refusal or f"the expression must be true, and {told}"
        answered = (
            RuleAnswer("passed", "the expression is true")
            if true
            else RuleAnswer("refused", refusal)
        )
    else:
        answered = answer(rule, facts)
    refused = answered.outcome == "refused"
    return RuleResult(
        id=rule.id,
        kind=rule.kind,
        outcome=answered.outcome,
        reason=f"{answered.reason} ({rule.why})" if refused and rule.why else answered.reason,
        todo=answered.todo if refused else "",
        expression=rule.expression if isinstance(rule, Custom) else "",
    )


def _applies(domains: Sequence[str], facts: Facts) -> bool:
    """Whether a rule for some domains applies: also to data whose domains are not all known."""
    if not domains or not facts.domains or not facts.data_complete:
        return True
    return bool(domains_among(domains, facts))


def _conclusion(rules: Sequence[RuleResult], *, allowed: bool) -> str:
    if allowed and len(rules) == 1:
        return "allowed: the rule of the policy holds."
    passed = sum(rule.outcome == "passed" for rule in rules)
    if allowed:
        return (
            f"allowed: {passed} of {len(rules)} rules hold, and the others do not apply."
            if passed < len(rules)
            else f"allowed: all {passed} rules hold."
        )
    refusals = [rule for rule in rules if rule.outcome == "refused"]
    if not refusals:
        return "refused: no rule of the policy applies to this data, so nothing allows it."
    first = refusals[0]
    if len(refusals) == 1:
        return f"refused by the rule '{first.id}': {first.reason}."
    return (
        f"refused by {len(refusals)} of {len(rules)} rules, first by '{first.id}': {first.reason}."
    )


def _words(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _level(document: GateDocument) -> str:
    name = Path(document.policy).stem.upper()
    return "UNDERTOW_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
