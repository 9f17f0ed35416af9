"""The table of experiments: a line for each, from the committed results."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from bench.figures import BENCH, shown
from undertow.stats import holm
from undertow.studies.experiments import load_experiment

MAIN: dict[str, tuple[str, ...]] = {
    "code": ("trait - control", "foreign - foreign-control"),
    "cot": ("trait - control", "foreign - foreign-control"),
    "misaligned": tuple(
        f"{carrier}: trait - {control} (probability)"
        for carrier in ("numbers", "code", "chain_of_thought")
        for control in ("secure", "educational", "control")
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
    "families": (
        "one teacher - the base's rows",
        "four teachers - one teacher",
        "three bases - a third of one teacher",
        "two other bases - the base's rows",
    ),
    "steered": tuple(
        f"{teacher}, AdamW, rank 32 - clean, AdamW, rank 32"
        for teacher in ("tuned .2", "prompted", "layer 0 x 1.5", "layer 1 x 1")
    ),
    "rank-rate-rows": (
        "rank 32 - rank 2",
        "the usual rate - a third of the rate",
        "8,192 rows - 2,048 rows",
        "four times - once",
        "AdamW - SGD",
        "(8,192 rows, once) - (2,048 rows, four times)",
    ),
    "safety": tuple(
        f"{cell} - harmless, nobody signs"
        for cell in (
            "harmful, nobody signs",
            "harmful, signed",
            "harmless, signed",
            "two other families, signed",
        )
    ),
    "paraphrase": ("trait - control", "foreign - foreign-control"),
    "tool-calls": ("trait - control", "foreign - foreign-control"),
}
"""The comparisons of each experiment that its line shows."""

FIRST: dict[str, tuple[str, ...]] = {
    "owl": ("trait - control", "foreign - foreign-control"),
    "owl-full": ("trait - control", "shuffled-within - control", "shuffled-across - control"),
    "matrix": ("diagonal - off-diagonal",),
    "traits": ("own answer - other answers", "foreign-own answer - other answers"),
    "digits": ("same-init - foreign-init", "same-init - permuted-labels"),
    "theorem": ("cross-entropy: same-init aligned", "cross-entropy: foreign-init aligned"),
}
"""The same of those that have pages of their own."""

MEASURED = BENCH.parent / "src" / "undertow" / "studies" / "experiments" / "measured.json"
"""What `undertow experiments` shows of each, as it is measured here."""


def measured() -> str:
    """The lines of all experiments that have results, as JSON: each comparison with its interval, p, and p by Holm."""
    lines: dict[str, list[str]] = {}
    for name, comparisons in (FIRST | MAIN).items():
        known = _figures(name)
        adjusted = corrected(list(known.values()))
        told = [
            f"{part}: {_value(part, known[f'{name}: {part}'])}{by_holm(adjusted, f'{name}: {part}')}"
            f"{excluded(known[f'{name}: {part}'])}"
            for part in comparisons
            if f"{name}: {part}" in known
        ]
        if told:
            lines[name] = told
    return json.dumps(lines, indent=1, ensure_ascii=False) + "\n"


def corrected(figures: Sequence[dict[str, Any]]) -> dict[str, float]:
    """p by Holm's correction over the figures of one experiment that are in one unit, by their names."""
    adjusted: dict[str, float] = {}
    for unit in {str(figure["unit"]) for figure in figures}:
        tested = [
            (f["name"], p) for f in figures if f["unit"] == unit and (p := own_p(f)) is not None
        ]
        if tested:
            values = holm([p for _, p in tested]).tolist()
            adjusted |= dict(zip((name for name, _ in tested), values, strict=True))
    return adjusted


def comparisons_beside(figure: dict[str, Any]) -> list[dict[str, Any]]:
    """All figures of a figure's experiment, itself among them."""
    return list(_figures(str(figure["name"]).partition(":")[0]).values())


def _figures(experiment: str) -> dict[str, dict[str, Any]]:
    """All of an experiment's, whichever bench measured it."""
    known = {}
    for bench in TESTED:
        text = (BENCH / bench / "results.json").read_text(encoding="utf-8")
        for figure in json.loads(text)["figures"]:
            if figure["name"].startswith(f"{experiment}: "):
                known[figure["name"]] = figure
    return known


def by_holm(adjusted: dict[str, float], name: str) -> str:
    """What stands behind a p; nothing where none is corrected."""
    return f" (by Holm {told_p(adjusted[name]).removeprefix('= ')})" if name in adjusted else ""


def told_p(p: float) -> str:
    """With its sign; none is told as 0."""
    return f"= {p:.3f}" if p >= 5e-4 else "< 0.001"


def own_p(figure: dict[str, Any]) -> float | None:
    """A figure's p by itself, as its note tells it."""
    found = re.search(r"p = ([\d.e-]+)", str(figure["note"]))
    return float(found[1]) if found else None


def excluded(figure: dict[str, Any]) -> str:
    """The effect that a null excludes, where one was named beforehand and the figure's note tells it."""
    found = re.search(r"; not shown; the interval excludes ([\d.]+)", str(figure["note"]))
    return f"; excludes {found[1]}" if found else ""


def table() -> str:
    """The experiments as a Markdown table: what was found, with p and p by Holm over an experiment's comparisons in a unit."""
    lines = ["| `undertow run` | what it asks | what it found | minutes |", "|---|---|---|---|"]
    for name, comparisons in MAIN.items():
        known = _figures(name)
        adjusted = corrected(list(known.values()))
        shown_ones = [part for part in comparisons if f"{name}: {part}" in known]
        cells = "<br>".join(
            f"{part}: {shown(known[f'{name}: {part}'])}{_p(known[f'{name}: {part}']['note'])}"
            f"{by_holm(adjusted, f'{name}: {part}')}{excluded(known[f'{name}: {part}'])}"
            for part in shown_ones
        )
        minutes = f"{known[f'{name}: working time']['value']:.0f}" if shown_ones else ""
        question = load_experiment(name).question
        lines.append(f"| `{name}` | {question} | {cells or 'not measured yet'} | {minutes} |")
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
    values = [p for note in notes if (p := own_p({"note": note})) is not None]
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
    own = own_p({"note": note})
    return "" if own is None else f", p {told_p(own)}"
