"""
The tables of the screen and of evidence, from the committed results: what is missed as large as what is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bench.figures import BENCH, shown

SCREEN, BASELINES = "screen", "baselines"
DETECTS = ": detects "
MET = {True: "yes", False: "**no**", None: ""}


def table() -> str:
    """One row a figure of the screen, by cell and size; what was asked for and missed is marked."""
    lines = ["| dataset | what | measured | asked | met |", "|---|---|---|---|---|"]
    for name, figure in _of(SCREEN):
        place, _, what = name.partition(": ")
        with_interval = figure["unit"] == "share" and figure["low"] is not None
        value = _cell(figure) if with_interval else shown(figure)
        lines.append(f"| {place} | {what} | {value} | {figure['target']} | {MET[figure['met']]} |")
    return "\n".join(lines)


def baselines_table() -> str:
    """One row a figure of the ways that the screen is held against, on the same datasets and among the same references."""
    lines = ["| what | measured | of what, at what cost | asked | met |", "|---|---|---|---|---|"]
    for what, figure in _of(BASELINES):
        told = (what, shown(figure), figure["note"], figure["target"], MET[figure["met"]])
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines)


def _of(part: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The figures of a part, each behind its name there."""
    document = json.loads((BENCH / "power" / "results.json").read_text(encoding="utf-8"))
    for figure in document["figures"]:
        of, _, name = figure["name"].partition(": ")
        if of == part:
            yield name, figure


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
