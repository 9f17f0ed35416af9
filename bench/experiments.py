"""The table of experiments: a line for each, from the committed results."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bench.experiment_claims import FIRST, MAIN, Statement
from bench.figures import BENCH, shown
from undertow.stats import holm
from undertow.studies.experiments import load_experiment

MEASURED = BENCH.parent / "src" / "undertow" / "studies" / "experiments" / "measured.json"
"""What `undertow experiments` shows of each, as it is measured here."""


def measured() -> str:
    """The lines of all experiments that have results, as JSON: each statement with its verdict, effect, interval and p."""
    lines = {name: told for name in FIRST | MAIN if (told := told_lines(name, _figures(name)))}
    return json.dumps(lines, indent=1, ensure_ascii=False) + "\n"


def told_lines(name: str, known: Mapping[str, dict[str, Any]]) -> list[str]:
    """A line a statement of an experiment whose comparison is among `known`, then what the screen and the gate said."""
    adjusted = corrected([f for key, f in known.items() if key.startswith(f"{name}: ")])
    lines = [
        _line(statement, known[key], adjusted.get(key))
        for statement in (FIRST | MAIN)[name]
        if (key := f"{name}: {statement.comparison}") in known
    ]
    return lines + _seen_lines(name, known) + _gate_lines(name, known) if lines else []


def _line(statement: Statement, figure: dict[str, Any], holm_p: float | None) -> str:
    own = own_p(figure)
    verdict = verdict_of(statement, figure, own, holm_p)
    beyond = excluded(statement, figure) if verdict == NOT_SHOWN else ""
    tested = "" if own is None else f", p {told_p(own)}"
    tested += "" if holm_p is None else f" (by Holm {told_p(holm_p).removeprefix('= ')})"
    return f"{verdict}: {statement.words}: {shown(figure)}{tested}{beyond}"


SHOWN, ALONE, NOT_SHOWN, OPPOSITE = "shown", "by itself only", "not shown", "the opposite is shown"


def verdict_of(
    statement: Statement, figure: dict[str, Any], own: float | None, holm_p: float | None
) -> str:
    """`shown` and its opposite go by p after Holm's correction; `by itself only` where it holds before it and no longer after."""
    p = own if holm_p is None else holm_p
    right = not statement.way or (figure["value"] - statement.null) * statement.way > 0
    if p is not None and p <= ALPHA:
        return SHOWN if right else OPPOSITE
    return ALONE if own is not None and own <= ALPHA and right else NOT_SHOWN


def excluded(statement: Statement, figure: dict[str, Any]) -> str:
    """The effect that a null's interval excludes, and whether that is the size that was named beforehand."""
    low, high, null = figure["low"], figure["high"], statement.null
    if low is None or high is None:
        return ""
    ends = {
        1: f"a rise of more than {high - null:.3g}" if high > null else "a rise of any size",
        -1: f"a fall of more than {null - low:.3g}" if low < null else "a fall of any size",
        0: f"a change of more than {max(abs(high - null), abs(low - null)):.3g}",
    }
    named = re.search(r"the interval excludes ([\d.]+)", str(figure["note"]))
    before = f" ({float(named[1]):.3g} was named beforehand)" if named else ""
    return f"; {ends[statement.way]} is excluded{before}"


def _seen_lines(name: str, known: Mapping[str, dict[str, Any]]) -> list[str]:
    """What a scan said of each cell's rows before any student read them."""
    prefix, suffix = f"screened {name}: ", ": seen by the screen"
    told = [
        f"{key.removeprefix(prefix).removesuffix(suffix)}: {figure['note']}"
        for key, figure in known.items()
        if key.startswith(prefix)
    ]
    return [f"the screen of each cell's first dataset: {'; '.join(told)}"] if told else []


def _gate_lines(name: str, known: Mapping[str, dict[str, Any]]) -> list[str]:
    """Which cells' rows each policy lets through."""
    found = [
        re.fullmatch(rf"gated {re.escape(name)}: (.+): allowed by (\S+)", key) for key in known
    ]
    decided = [(match[2], match[1], known[match[0]]["value"]) for match in found if match]
    lines = []
    for policy in dict.fromkeys(policy for policy, _, _ in decided):
        cells = [(cell, value) for of, cell, value in decided if of == policy]
        let = [cell for cell, value in cells if value]
        names = f": {'; '.join(let)}" if 0 < len(let) < len(cells) else ""
        missed = known[f"gated {name}: datasets that moved students and are allowed by {policy}"]
        moved = f", of which {missed['value']} moved students" if let else ""
        lines.append(
            f"the gate by `{policy}` allows {len(let)} of {len(cells)} datasets{moved}{names}"
        )
    return lines


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
    """All of an experiment's, whichever bench measured it, and what the screen and the gate said of its rows."""
    prefixes = tuple(f"{of}{experiment}: " for of in ("", "screened ", "gated "))
    known = {}
    for bench in TESTED:
        text = (BENCH / bench / "results.json").read_text(encoding="utf-8")
        for figure in json.loads(text)["figures"]:
            if figure["name"].startswith(prefixes):
                known[figure["name"]] = figure
    return known


def told_p(p: float) -> str:
    """With its sign; none is told as 0."""
    return f"= {p:.3f}" if p >= 5e-4 else "< 0.001"


def own_p(figure: dict[str, Any]) -> float | None:
    """A figure's p by itself, as its note tells it."""
    found = re.search(r"p = ([\d.e-]+)", str(figure["note"]))
    return float(found[1]) if found else None


def table() -> str:
    """The experiments as a Markdown table: what was found, with p and p by Holm over an experiment's comparisons in a unit."""
    lines = ["| `undertow run` | what it asks | what it found | minutes |", "|---|---|---|---|"]
    for name in MAIN:
        known = _figures(name)
        cells = "<br>".join(told_lines(name, known))
        minutes = f"{known[f'{name}: working time']['value']:.0f}" if cells else ""
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
