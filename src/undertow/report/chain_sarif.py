"""
A decision as SARIF 2.1.0: one result for each rule that refuses and for each link that does not hold.

Source of the shape: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
"""

from __future__ import annotations

from collections.abc import Iterator

from undertow.report import chain_words as words
from undertow.report.sarif_log import Table, result_of, sarif_log
from undertow.report.sarif_objects import location
from undertow.report.visible import visible
from undertow.results.provenance import GateDocument, Problem, RuleResult, VerifyDocument


def render_chain_sarif(document: VerifyDocument | GateDocument) -> str:
    """
    The document as a SARIF log with one run.

    A rule that refuses is an `error`, a link that does not hold an `error` in a verification and a `note` in a
    decision, where rules weigh it; a rule that never matched is a `note`.
    """
    results = list(_results(document))
    ids = list(dict.fromkeys(result["ruleId"] for result in results))
    return sarif_log(
        [_rule(id, document) for id in ids],
        results,
        {
            "invocations": [
                {"executionSuccessful": True, "commandLine": visible(document.command)}
            ],
            "artifacts": [{"location": {"uri": location(words.checked(document).data)}}],
            "properties": {
                "schema": document.schema_,
                "verdict": words.verdict(document),
                "digest": words.checked(document).facts.digest,
            },
        },
    )


def _results(document: VerifyDocument | GateDocument) -> Iterator[Table]:
    level = "error"
    if isinstance(document, GateDocument):
        level = "note"
        for rule in document.rules:
            if rule.outcome != "passed":
                yield _refusal(document, rule)
    for problem in words.checked(document).problems:
        yield _problem(document, problem, level if problem.blocks else "note")


def _refusal(document: GateDocument, rule: RuleResult) -> Table:
    todo = f" To do: {rule.todo}." if rule.todo else ""
    level = "error" if rule.outcome == "refused" else "note"
    told = f"{words.OUTCOMES[rule.outcome]}: {rule.reason}.{todo}"
    return _result(document, rule.id, level, told)


def _problem(document: VerifyDocument | GateDocument, problem: Problem, level: str) -> Table:
    parts = [f"{problem.link}: {problem.message}."]
    parts += [f"Expected: {problem.expected}."] if problem.expected else []
    parts += [f"Found: {problem.found}."] if problem.found else []
    parts += [f"To do: {problem.todo}."] if problem.todo else []
    return _result(document, f"chain/{problem.id}", level, " ".join(parts))


def _result(document: VerifyDocument | GateDocument, rule: str, level: str, told: str) -> Table:
    path = words.checked(document).data
    return result_of(rule, level, told, path, (path, told), artifact=0)


def _rule(id: str, document: VerifyDocument | GateDocument) -> Table:
    rules = document.rules if isinstance(document, GateDocument) else ()
    kind = next((rule.kind for rule in rules if rule.id == id), "chain")
    told = (
        f"rule '{id}' of the policy, of the kind {kind}"
        if kind != "chain"
        else f"a link of the chain: {id}"
    )
    return {
        "id": id,
        "shortDescription": {"text": told},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["provenance", kind]},
    }
