"""
What every SARIF 2.1.0 log of undertow is made of: one run, its rules, its results.

Source of the shape: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from undertow import __version__
from undertow.report.check_page import CheckPage, pages_of
from undertow.report.sarif_objects import location, message, without_gaps
from undertow.report.visible import visible
from undertow.results.scan import CheckRun

Table = dict[str, Any]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LONGEST_DESCRIPTION = 1024
"""Of `fullDescription`: what GitHub accepts."""

_WHOLE_FILE = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
"""GitHub wants a region with all four fields; results are on whole files and models, not on rows."""


def sarif_log(rules: list[Table], results: list[Table], more: Table) -> str:
    """A log with one run of undertow: its rules, its results, and what else is said of the run."""
    places = {rule["id"]: index for index, rule in enumerate(rules)}
    run = {
        "tool": {"driver": {"name": "undertow", "version": __version__, "rules": rules}},
        "results": [found | {"ruleIndex": places[found["ruleId"]]} for found in results],
        "columnKind": "unicodeCodePoints",
        **more,
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(without_gaps(log), indent=2, allow_nan=False) + "\n"


def rules_of(judge: str, runs: Sequence[CheckRun]) -> list[Table]:
    """The check that judges and those that were run, as rules."""
    ids = dict.fromkeys([judge, *(run.check for run in runs)])
    return [_rule(page) for page in pages_of(tuple(ids)).values()]


def result_of(
    rule: str,
    level: str,
    told: str,
    path: str,
    identity: Sequence[object],
    *,
    artifact: int | None = None,
    logical_locations: list[Table] | None = None,
    properties: Table | None = None,
) -> Table:
    """
    One result on a file or a model as a whole.

    Args:
        identity: what, with the rule, makes it the same result in the next log.
        artifact: index of the path among the run's artifacts, if it is one of them.
    """
    physical = {
        "artifactLocation": {"uri": location(path), "index": artifact},
        "region": _WHOLE_FILE,
    }
    content = json.dumps([rule, *identity])
    return {
        "ruleId": visible(rule),
        "level": level,
        "message": message(told),
        "locations": [{"physicalLocation": physical, "logicalLocations": logical_locations}],
        "partialFingerprints": {
            "primaryLocationLineHash": hashlib.sha256(content.encode()).hexdigest()
        },
        "properties": properties,
    }


def invocation(command: str, runs: Sequence[CheckRun]) -> Table:
    """The command, and every check that failed."""
    failed = [run for run in runs if run.status == "error"]
    notices = [notice(f"{run.check}: {run.reason}", "error", run.check) for run in failed]
    return {
        "executionSuccessful": not failed,
        "commandLine": visible(command),
        "toolExecutionNotifications": notices or None,
    }


def notice(told: str, level: str, check: str | None = None) -> Table:
    """Something that happened to the run, of a check if it is named."""
    rule = {"id": visible(check)} if check else None
    return {"level": level, "message": message(told), "associatedRule": rule}


def _rule(page: CheckPage) -> Table:
    summary = page.summary or f"the check '{page.id}' of a package that is not installed here"
    paragraphs = [summary, *page.introduction]
    helped = [*paragraphs, *(f"{name}. {page.section(name)}" for name, _ in page.sections)]
    helped.append(f"undertow explain {page.id}")
    return {
        "id": visible(page.id),
        "shortDescription": {"text": visible(summary)},
        "fullDescription": {"text": visible(" ".join(paragraphs))[:_LONGEST_DESCRIPTION]},
        "help": {"text": "\n\n".join(map(visible, helped))},
        "defaultConfiguration": {"level": "error" if page.kind == "transfer" else "note"},
        "properties": {"tags": ["subliminal-learning", page.kind]},
    }
