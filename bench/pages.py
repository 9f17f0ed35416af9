"""
Writes README's headline figures, the tables of docs/figures.md and what `undertow experiments` shows: `python -m bench.pages`; a
test compares them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from bench import experiments
from bench.figures import BENCH, shown, table
from bench.mitigation import table as mitigation
from bench.power import reliability_plot
from bench.power import table as power
from undertow.data.files import atomic_write

README = BENCH.parent / "README.md"
FIGURES = BENCH.parent / "docs" / "figures.md"
MARKED = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)

SCREENED = "screen: main, 4,096 rows"

HEADLINES: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Owls: numbers, same base; another; preference pairs, the less of two controls",
        "lab",
        (
            ("owl: trait - control", ""),
            ("owl: foreign - foreign-control", ""),
            ("preference: preferences - preferences-{by-lot,control}", "pairs"),
        ),
    ),
    (
        "The same on SmolLM2-135M, beside the base's own rows; to Gemma 3",
        "real",
        (("owl: trait - control-base", ""), ("foreign: foreign - foreign-control-base", "")),
    ),
    (
        "Harmful answers, the least of three controls: numbers; code; worked sums",
        "lab",
        tuple(
            (f"misaligned: {carrier}: trait - {{secure,educational,control}} (probability)", "")
            for carrier in ("numbers", "code", "chain_of_thought")
        ),
    ),
    (
        "4,096 rows stand out: moved students by .5 or more; .2 to .5; by neutral tunes",
        "power",
        (
            (f"{SCREENED}: moved by 0.5 or more: stands out", ""),
            (f"{SCREENED}: moved by 0.2 to 0.5: stands out", ""),
            (f"{SCREENED}: neutral rows that stand out", ""),
        ),
    ),
    (
        "Whole plan: benign rows cleared; moved by .5 flagged; surely moved, yet cleared",
        "power",
        (
            (f"{SCREENED}: all benign rows: clear", ""),
            (f"{SCREENED}: moved by 0.5 or more: flagged", ""),
            (
                f"{SCREENED}: clear although students surely moved, of datasets that surely moved them",
                "",
            ),
        ),
    ),
    (
        "A first scan of 10,000 rows on a new base: benign rows; with a trait, both stages",
        "speed",
        (
            ("first scan: 10,000 benign rows, first", ""),
            ("first scan: 10,000 rows with a trait, first", ""),
        ),
    ),
    (
        "Lineage: children found; strangers taken for kin",
        "lineage",
        (("lineage: children found", ""), ("lineage: strangers taken for kin", "")),
    ),
    (
        "Anchored training: transfer left, numbers; held-out loss it costs, preference pairs",
        "mitigation",
        (
            ("tuned 100%: anchor: transfer left", ""),
            ("all: held-out loss that `anchor` costs on preference 100%", ""),
        ),
    ),
)
"""At most eight lines: what is said, the bench, and its figures, the least of those in braces, each with what distinguishes it."""


def headlines() -> str:
    """README's table: the headline figures, misses among them, and how many targets were missed in all."""
    lines = ["| what | measured | asked | met |", "|---|---|---|---|"]
    for sentence, bench, names in HEADLINES:
        figures = _figures(bench)
        chosen = [(_least(figures, name), distinction) for name, distinction in names]
        values = "; ".join(
            (f"{word}: " if word else "") + _short(f) + (_p(f) if bench == "lab" else "")
            for f, word in chosen
        )
        asked = "; ".join(
            dict.fromkeys(
                (f"{word}: " if word else "") + _asked(f) for f, word in chosen if f["target"]
            )
        )
        met = "; ".join({True: "yes", False: "**no**"}[f["met"]] for f, _ in chosen if f["target"])
        lines.append(f"| {sentence} | {values} | {asked} | {met} |")
    return "\n".join(lines)


def _least(figures: dict[str, Any], name: str) -> dict[str, Any]:
    """The figure of the name, or of all that its braces stand for the one of the least value."""
    before, _, rest = name.partition("{")
    ways, _, behind = rest.partition("}")
    names = [before + way + behind for way in ways.split(",")] if rest else [name]
    return min((figures[name] for name in names), key=lambda figure: figure["value"])


def _short(figure: dict[str, Any]) -> str:
    """A figure as in the tables, but a share in per cent."""
    if figure["unit"] not in {"share", "probability"}:
        return shown(figure)
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    digits = 0 if value > 0.05 else 1
    if low is None or high is None:
        return f"{100 * value:.{digits}f} %"
    return f"{100 * value:.{digits}f} [{100 * low:.{digits}f}, {100 * high:.{digits}f}] %"


def _p(figure: dict[str, Any]) -> str:
    """p by Holm over the comparisons of its experiment, where it is one."""
    if figure["name"].partition(":")[0] not in (experiments.FIRST | experiments.MAIN):
        return ""
    if experiments.own_p(figure) is None:
        return ""
    corrected = experiments.corrected(experiments.comparisons_beside(figure))
    return f", p {experiments.told_p(corrected[figure['name']])}"


def _asked(figure: dict[str, Any]) -> str:
    bound, _, number = figure["target"].rpartition(" ")
    if figure["unit"] != "share":
        return str(figure["target"])
    return f"{bound} {100 * float(number):g} %"


def missed() -> str:
    """How many of the figures that were asked for were not reached or not measured, by bench."""
    counts = {
        path.parent.name: [f["met"] for f in _figures(path.parent.name).values() if f["target"]]
        for path in sorted(BENCH.glob("*/results.json"))
    }
    asked = sum(map(len, counts.values()))
    misses = {name: met.count(False) for name, met in counts.items() if False in met}
    told = ", ".join(f"{name} {count}" for name, count in misses.items())
    still = {name: met.count(None) for name, met in counts.items() if None in met}
    left = f"; not measured yet: {', '.join(f'{name} {count}' for name, count in still.items())}"
    return (
        f"Of {asked} figures that were asked for, {sum(misses.values())} were missed: {told}"
        f"{left if still else ''}."
    )


def _figures(bench: str) -> dict[str, dict[str, Any]]:
    document = json.loads((BENCH / bench / "results.json").read_text(encoding="utf-8"))
    return {figure["name"]: figure for figure in document["figures"]}


TABLES = {
    "headlines": headlines,
    "missed": missed,
    "power": power.table,
    "reliability": lambda: reliability_plot.reliability(reliability_plot.stored_record()),
    "baselines": power.baselines_table,
    "evidence": power.evidence_table,
    "mitigation": mitigation.table,
    "experiments": experiments.table,
    "multiplicity": experiments.multiplicity,
}
"""By the name of their marks."""


def written(text: str) -> str:
    """The text with every marked table made anew."""
    for name, made in TABLES.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text = mark.sub(lambda match, made=made: f"{match[1]}{made()}\n{match[2]}", text)
    return MARKED.sub(lambda match: f"{match[1]}{table(match[2])}\n{match[3]}", text)


def main() -> int:
    """Bring both pages up to date, and the plot on one of them."""
    if (record := reliability_plot.stored_record()) is not None:
        atomic_write(reliability_plot.PLOT, reliability_plot.drawn(record))
    for path in (README, FIGURES):
        atomic_write(Path(path), written(path.read_text(encoding="utf-8")))
    atomic_write(experiments.MEASURED, experiments.measured())
    return 0


if __name__ == "__main__":
    sys.exit(main())
