"""A lineage as SARIF 2.1.0: one result for each teacher whose start is shared or unknown."""

from __future__ import annotations

from undertow.report import lineage_words
from undertow.report.sarif_log import Table, invocation, result_of, rules_of, sarif_log
from undertow.report.visible import visible
from undertow.results.lineage import LineageDocument, Related

_RULE = "lineage-weights"
_LEVELS = {"flagged": "warning", "undecided": "warning"}


def render_lineage_sarif(document: LineageDocument) -> str:
    """
    The document as a SARIF log with one run. A shared start is a `warning`: it is a risk, not a defect.
    """
    properties = {
        "schema": document.schema_,
        "verdict": document.verdict,
        "student": visible(document.student),
        "seed": document.seed,
    }
    return sarif_log(
        rules_of(_RULE, document.checks),
        [_result(document, one) for one in document.teachers if one.verdict in _LEVELS],
        {"invocations": [invocation(document.command, document.checks)], "properties": properties},
    )


def _result(document: LineageDocument, one: Related) -> Table:
    told = f"{lineage_words.RELATIONS[one.relation]}: '{one.teacher}': {one.reason}. Hidden channel: {one.hidden_channel}."
    return result_of(
        _RULE,
        _LEVELS[one.verdict],
        told,
        document.student,
        (document.student, one.teacher),
        properties={
            "teacher": visible(one.teacher),
            "relation": one.relation,
            "p": one.p,
            "detectable": one.detectable,
        },
    )
