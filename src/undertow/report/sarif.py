"""
The findings of a page as SARIF 2.1.0, for code-scanning dashboards.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0"; section numbers are of that document.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from undertow import __version__
from undertow.report.page import Finding, FindingLog, FindingRule, Notice, Page
from undertow.report.plain_text import visible, visible_throughout

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LONGEST_DESCRIPTION = 1024
"""Of `fullDescription`: what GitHub accepts."""

_WHOLE_FILE = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
"""GitHub wants a region with all four fields; results are on whole files and models, not on rows."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def render_sarif(page: Page) -> str:
    """The page's findings as a log with one run."""
    if page.findings is None:
        raise ValueError(f"a page of '{page.id}' has no findings")
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [_run(page.findings)]}
    return json.dumps(without_gaps(log), indent=2, allow_nan=False) + "\n"


def message(text: str) -> dict[str, str]:
    """
    Plain text as a message object: brackets would make a link (3.11.6), braces a placeholder (3.11.5).

    >>> message("[a](b) {0}")
    {'text': '\\\\[a\\\\](b) {{0}}'}
    """
    shown = re.sub(r"([\\\[\]])", r"\\\1", visible(text))
    return {"text": shown.replace("{", "{{").replace("}", "}}")}


def location(path: str) -> str:
    """
    The path as a URI reference (3.4.3): relative ones stay relative, everything else is encoded.

    >>> location("data/a b.jsonl"), location("/data/a.jsonl"), location("hf://org/rows")
    ('data/a%20b.jsonl', 'file:///data/a.jsonl', 'hf://org/rows')
    """
    if scheme := _SCHEME.match(path):
        return scheme[0] + quote(path[scheme.end() :], errors="replace")
    whole = str(PurePosixPath(path))
    return ("file://" if whole.startswith("/") else "") + quote(whole, errors="replace")


def without_gaps(value: Any) -> Any:
    """The value without absent entries and without numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: without_gaps(entry) for key, entry in value.items() if not _absent(entry)}
    if isinstance(value, list):
        return [without_gaps(entry) for entry in value]
    return value


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _run(findings: FindingLog) -> dict[str, Any]:
    rules = [_rule(rule) for rule in findings.rules]
    places = {rule["id"]: index for index, rule in enumerate(rules)}
    results = [_result(one, findings.file) for one in findings.results]
    invocation = {
        "executionSuccessful": findings.succeeded,
        "commandLine": visible(findings.command),
        "toolExecutionNotifications": [_notice(one) for one in findings.notices] or None,
    }
    return {
        "tool": {"driver": {"name": "undertow", "version": __version__, "rules": rules}},
        "results": [result | {"ruleIndex": places[result["ruleId"]]} for result in results],
        "columnKind": "unicodeCodePoints",
        "invocations": [invocation],
        "artifacts": _artifacts(findings),
        "properties": visible_throughout(dict(findings.properties)),
    }


def _artifacts(findings: FindingLog) -> list[dict[str, Any]] | None:
    if findings.file is None:
        return None
    digests = {"sha-256": findings.digest} if findings.digest else None
    return [{"location": {"uri": location(findings.file)}, "hashes": digests}]


def _rule(rule: FindingRule) -> dict[str, Any]:
    described = rule.description and message(rule.description)["text"][:_LONGEST_DESCRIPTION]
    return {
        "id": visible(rule.id),
        "shortDescription": message(rule.summary),
        "fullDescription": {"text": described} if described else None,
        "help": {"text": "\n\n".join(message(part)["text"] for part in rule.help)}
        if rule.help
        else None,
        "defaultConfiguration": {"level": rule.level},
        "properties": {"tags": list(rule.tags)},
    }


def _result(finding: Finding, file: str | None) -> dict[str, Any]:
    index = 0 if finding.place == file else None
    physical = {
        "artifactLocation": {"uri": location(finding.place), "index": index},
        "region": _WHOLE_FILE,
    }
    source = finding.source and [{"name": visible(finding.source), "kind": "source"}]
    content = json.dumps([finding.rule, *finding.identity])
    return {
        "ruleId": visible(finding.rule),
        "level": finding.level,
        "message": message(finding.message),
        "locations": [{"physicalLocation": physical, "logicalLocations": source or None}],
        "partialFingerprints": {
            "primaryLocationLineHash": hashlib.sha256(content.encode()).hexdigest()
        },
        "properties": finding.properties and visible_throughout(dict(finding.properties)),
    }


def _notice(notice: Notice) -> dict[str, Any]:
    rule = {"id": visible(notice.check)} if notice.check else None
    return {"level": notice.level, "message": message(notice.message), "associatedRule": rule}
