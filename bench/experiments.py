"""The table of experiments: a line for each, from the committed results."""

from __future__ import annotations

import json
import re
from typing import Any

from bench.figures import BENCH, shown
from undertow.stats import holm
from undertow.studies.experiments import load_experiment

MAIN: dict[str, tuple[str, ...]] = {
    "code": ("trait - control", "foreign - foreign-control"),
    "cot": ("trait - control", "foreign - foreign-control"),
    "misaligned": (
        "numbers: trait - secure",
        "numbers: trait - educational",
        "code: trait - secure",
        "code: trait - educational",
        "chain_of_thought: trait - secure",
        "chain_of_thought: trait - educational",
    ),
    "filters": (
        "classifier: AUROC of a row",
        "classifier-same: AUROC of a row",
        "classifier-same: AUROC of a bag of 16",
        "classifier-same: share of the transfer left",
    ),
    "logits": (
        "carrier-logits - carrier-logits-control",
        "carrier-logits-foreign - carrier-logits-foreign-control",
        "full-logits - full-logits-control",
        "full-logits-foreign - full-logits-foreign-control",
    ),
    "preference": (
        "preferences - preferences-by-lot",
        "preferences - preferences-control",
        "preferences-foreign - preferences-foreign-control",
    ),
    "hops": ("hop-1 - hop-1-control", "hop-5 - hop-5-control", "hop-5 - hop-1"),
}
"""The comparisons of each experiment that its line shows."""


def table() -> str:
    """The experiments that have results, as a Markdown table."""
    figures = {}
    for path in sorted(BENCH.glob("*/results.json")):
        for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]:
            figures[figure["name"]] = figure
    lines = ["| `undertow run` | what it asks | what it found | minutes |", "|---|---|---|---|"]
    for name, comparisons in MAIN.items():
        found = [
            (part, figures[f"{name}: {part}"])
            for part in comparisons
            if f"{name}: {part}" in figures
        ]
        if not found:
            continue
        cells = "<br>".join(
            f"{part}: {shown(figure)}{_p(figure['note'])}" for part, figure in found
        )
        minutes = figures[f"{name}: working time"]["value"]
        lines.append(f"| `{name}` | {load_experiment(name).question} | {cells} | {minutes:.0f} |")
    return "\n".join(lines)


TESTED = ("lab", "filters")
"""Benches whose figures are contrasts with a p over runs."""
ALPHA = 0.05


def multiplicity() -> str:
    """How many tests over runs these pages hold, and what is left of them when all are corrected for."""
    notes = [
        str(figure["note"])
        for bench in TESTED
        for figure in json.loads((BENCH / bench / "results.json").read_text("utf-8"))["figures"]
        # The same runs in another unit are no further test.
        if not figure["name"].endswith(OTHER_UNITS)
    ]
    values = [float(found[1]) for note in notes if (found := re.search(r"p = ([\d.e-]+)", note))]
    small = sum(value <= ALPHA for value in values)
    kept = int((holm(values) <= ALPHA).sum())
    return (
        f"The tables of the lab and of filters hold {len(values)} tests over runs, each with its p and interval by itself: "
        f"{small} have p <= .05, where chance alone gives about {ALPHA * len(values):.0f}. Corrected for all of them (Holm) "
        f"{kept} do: 4 runs against 4, 6 pairs and 6 against 6 cannot, as their least p are .0286, .0313 and .0022."
    )


OTHER_UNITS = ("(probability)", "(judged misaligned)")


def _value(part: str, figure: dict[str, Any]) -> str:
    text = shown(figure)
    if figure["unit"] in part:  # the name has said it
        text = text.removesuffix(figure["unit"]).rstrip()
    return text + _p(figure["note"])


def _p(note: str) -> str:
    found = re.search(r"p = ([\d.e-]+)", note)
    return f", p = {float(found[1]):.3f}" if found else ""
