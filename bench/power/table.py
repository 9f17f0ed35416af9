"""
The table of verdicts by kind of writer, from the committed results: what is missed as large as what is found.
"""

from __future__ import annotations

import json

from bench.figures import BENCH

VERDICTS = ("flagged", "clear", "undecided")
DETECTS = ": detects "


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


def evidence_table() -> str:
    """
    One row a check of evidence: how often it detects each kind of writer's rows, and what it takes.
    """
    document = json.loads((BENCH / "power" / "results.json").read_text(encoding="utf-8"))
    rows: dict[str, dict[str, str]] = {}
    seconds: dict[str, str] = {}
    memory: dict[str, str] = {}
    for figure in document["figures"]:
        check, found, group = figure["name"].partition(DETECTS)
        if found:
            teachers = figure["note"].split()[0]
            rows.setdefault(check, {})[group] = f"{_cell(figure)} of {teachers}"
        check, found, _ = figure["name"].partition(": seconds a 1,000 rows")
        if found:
            seconds[check] = f"{float(figure['value']):.2g} s"
        part, _, check = figure["name"].partition(": ")
        if part == "memory":
            memory[check] = f"{float(figure['value']):,.0f} MB"
    groups = list(dict.fromkeys(group for row in rows.values() for group in row))
    lines = [
        f"| check | {' | '.join(groups)} | a 1,000 rows | peak memory |",
        "|---" * (len(groups) + 3) + "|",
    ]
    for check, row in rows.items():
        cells = " | ".join(row.get(group, "does not apply") for group in groups)
        lines.append(
            f"| `{check}` | {cells} | {seconds.get(check, '')} | {memory.get(check, '')} |"
        )
    return "\n".join(lines)


def _cell(figure: dict[str, object]) -> str:
    value, low, high = (float(str(figure[key])) for key in ("value", "low", "high"))
    return f"{value:.0%} [{low:.0%}, {high:.0%}]"
