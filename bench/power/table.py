"""
README's table of verdicts by kind of writer, from the committed results: what is missed as large as what is found.
"""

from __future__ import annotations

import json

from bench.figures import BENCH

VERDICTS = ("flagged", "clear", "undecided")


def table() -> str:
    """
    One row a kind of writer, dose and size: the share of each verdict with its interval, and what students did.
    """
    document = json.loads((BENCH / "power" / "results.json").read_text(encoding="utf-8"))
    rows: dict[str, dict[str, dict[str, object]]] = {}
    for figure in document["figures"]:
        name, _, verdict = figure["name"].rpartition(": ")
        if verdict in VERDICTS:
            rows.setdefault(name, {})[verdict] = figure
    lines = [
        "| rows by | flagged | clear | undecided | datasets |",
        "|---|---|---|---|---|",
    ]
    for name, found in rows.items():
        cells = " | ".join(_cell(found[verdict]) for verdict in VERDICTS)
        lines.append(f"| {name} | {cells} | {found['flagged']['note']} |")
    return "\n".join(lines)


def _cell(figure: dict[str, object]) -> str:
    value, low, high = (float(str(figure[key])) for key in ("value", "low", "high"))
    return f"{value:.0%} [{low:.0%}, {high:.0%}]"
