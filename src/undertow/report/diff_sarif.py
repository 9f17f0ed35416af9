"""
A diff as SARIF 2.1.0: one result for each trait that moved, or may have moved, though nobody asked for it.
"""

from __future__ import annotations

from undertow.report import diff_words, numbers
from undertow.report.sarif_log import Table, invocation, result_of, rules_of, sarif_log
from undertow.report.visible import visible
from undertow.results.diff import Change, DiffDocument

_RULE = "diff-behaviour"
_LEVELS = {"flagged": "error", "undecided": "warning"}


def render_diff_sarif(document: DiffDocument) -> str:
    """The document as a SARIF log with one run."""
    told = [one for one in document.changes if one.verdict in _LEVELS and not one.intended]
    properties = {
        "schema": document.schema_,
        "verdict": document.verdict,
        "base": visible(document.base),
        "inference": document.inference,
        "seed": document.seed,
    }
    return sarif_log(
        rules_of(_RULE, document.checks),
        [_result(document, one) for one in told],
        {"invocations": [invocation(document.command, document.checks)], "properties": properties},
    )


def _result(document: DiffDocument, one: Change) -> Table:
    moved = numbers.decimal(one.estimate, 2, signed=True)
    limits = numbers.interval(one.low, one.high, "logits")
    text = f"{one.verdict}: '{one.trait}': {diff_words.kind(document)} {moved} {limits}, in {document.unit}."
    return result_of(
        _RULE,
        _LEVELS[one.verdict],
        text,
        document.tuned[0],
        (document.base, list(document.tuned), one.trait),
        properties={
            "trait": visible(one.trait),
            "estimate": one.estimate,
            "low": one.low,
            "high": one.high,
            "limit": document.limit,
        },
    )
