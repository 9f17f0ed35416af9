"""
A lineage as SARIF 2.1.0: one result for each teacher whose start is shared or unknown.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from undertow.report import lineage_words
from undertow.report.check_page import pages_of
from undertow.report.sarif import rule_of, sarif_log
from undertow.report.sarif_objects import location, message
from undertow.report.visible import visible
from undertow.results.lineage import LineageDocument, Related

_RULE = "lineage-weights"
_LEVELS = {"flagged": "warning", "undecided": "warning"}


def render_lineage_sarif(document: LineageDocument) -> str:
    """
    The document as a SARIF log with one run. A shared start is a `warning`: it is a risk, not a defect.
    """
    ids = dict.fromkeys([_RULE, *(run.check for run in document.checks)])
    rules = [rule_of(page) for page in pages_of(tuple(ids)).values()]
    results = [_result(document, one) for one in document.teachers if one.verdict in _LEVELS]
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
        "student": visible(document.student),
        "seed": document.seed,
    }
    return sarif_log(rules, results, {"invocations": [invocation], "properties": properties})


def _result(document: LineageDocument, one: Related) -> dict[str, Any]:
    told = f"{lineage_words.RELATIONS[one.relation]}: '{one.teacher}': {one.reason}. Hidden channel: {one.hidden_channel}."
    region = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
    place = {"artifactLocation": {"uri": location(document.student)}, "region": region}
    content = json.dumps([_RULE, document.student, one.teacher])
    return {
        "ruleId": _RULE,
        "level": _LEVELS[one.verdict],
        "message": message(told),
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {
            "primaryLocationLineHash": hashlib.sha256(content.encode()).hexdigest()
        },
        "properties": {
            "teacher": visible(one.teacher),
            "relation": one.relation,
            "p": one.p,
            "detectable": one.detectable,
        },
    }
