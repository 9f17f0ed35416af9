"""
A diff as SARIF 2.1.0: one result for each trait that moved, or may have moved, though nobody asked for it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from undertow.report import diff_words, numbers
from undertow.report.check_page import pages_of
from undertow.report.sarif import rule_of, sarif_log
from undertow.report.sarif_objects import location, message
from undertow.report.visible import visible
from undertow.results.diff import Change, DiffDocument

_RULE = "diff-behaviour"
_LEVELS = {"flagged": "error", "undecided": "warning"}


def render_diff_sarif(document: DiffDocument) -> str:
    """
    The document as a SARIF log with one run.
    """
    ids = dict.fromkeys([_RULE, *(run.check for run in document.checks)])
    rules = [rule_of(page) for page in pages_of(tuple(ids)).values()]
    told = [one for one in document.changes if one.verdict in _LEVELS and not one.intended]
    failed = [run for run in document.checks if run.status == "error"]
    invocation = {
        "executionSuccessful": not failed,
        "commandLine": visible(document.command),
        "toolExecutionNotifications": [
            {"level": "error", "message": message(f"{run.check}: {run.reason}")} for run in failed
        ]
        or None,
    }
    properties = {
        "schema": document.schema_,
        "verdict": document.verdict,
        "base": visible(document.base),
        "inference": document.inference,
        "seed": document.seed,
    }
    more = {"invocations": [invocation], "properties": properties}
    return sarif_log(rules, [_result(document, one) for one in told], more)


def _result(document: DiffDocument, one: Change) -> dict[str, Any]:
    moved = numbers.decimal(one.estimate, 2, signed=True)
    limits = numbers.interval(one.low, one.high, "logits")
    text = f"{one.verdict}: '{one.trait}': {diff_words.kind(document)} {moved} {limits}, in {document.unit}."
    region = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
    place = {"artifactLocation": {"uri": location(document.tuned[0])}, "region": region}
    content = json.dumps([_RULE, document.base, list(document.tuned), one.trait])
    return {
        "ruleId": _RULE,
        "level": _LEVELS[one.verdict],
        "message": message(text),
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {
            "primaryLocationLineHash": hashlib.sha256(content.encode()).hexdigest()
        },
        "properties": {
            "trait": visible(one.trait),
            "estimate": one.estimate,
            "low": one.low,
            "high": one.high,
            "limit": document.limit,
        },
    }
