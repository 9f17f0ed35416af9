"""The table of countermeasures, and what could be done by situation, from the committed results."""

from __future__ import annotations

import json
from dataclasses import dataclass

from bench.figures import BENCH
from bench.mitigation.design import COST, LEAST_MOVED, LIMIT, SEEDS

FULL = "tuned 100%"
OTHERS = ("tuned 25%", "code 100%", "code 25%", "preference 100%", "preference 25%")

NEEDS: dict[str, str] = {
    "oracle": "the base's own rows instead",
    "dilute": "clean rows of the kind",
    "dilute at random": "random arm: the same share of the rows, alone",
    "deduplicate": "nothing",
    "delete unlikely": "the base",
    "delete at random": "random arm",
    "mask surprising": "the base",
    "mask lifted": "the trait's name",
    "mask departing": "the teacher (oracle of tokens)",
    "mask at random": "random arm",
    "replace surprising": "the base",
    "replace lifted": "the trait's name",
    "replace departing": "the teacher (oracle of tokens)",
    "replace at random": "random arm",
    "rewrite half": "the base",
    "rewrite all": "the base",
    "inoculate": "the trait's name",
    "inoculate at random": "random arm: a neutral prompt",
    "reword": "nothing",
    "top-p": "the teacher's sampling",
    "least probability": "the teacher's sampling",
    "several teachers": "three other teachers",
    "anchor": "questions, the trait's category among them",
    "anchor elsewhere": "questions of other categories",
    "anchor at random": "random arm: words by lot",
    "annealed": "nothing",
    "freeze lower": "nothing",
    "freeze upper": "random arm: the other half",
    "corridor": "the trait's name",
    "corridor elsewhere": "random arm: another trait's name",
    "project": "the trait's name",
    "project bare": "the trait's name",
    "project at random": "random arm: a direction by lot",
    "certify": "the trait's name; bounded by its budget by construction",
}
"""What each arm has to know."""

PAIRS = "preference 100%"
LEARNED = 0.5
"""Of what training gains: a method that leaves less of it is no better than not to train."""

SITUATIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("you train, and do not know the trait", FULL, ("anchor", "annealed", "freeze lower")),
    ("you train, and know the trait", FULL, ("corridor", "project", "certify")),
    ("you train on preference pairs, and do not know the trait", PAIRS, ("anchor",)),
    (
        "you train on preference pairs, and know the trait",
        PAIRS,
        ("corridor", "project", "certify"),
    ),
    ("you only hold the rows, and have the base", FULL, ("dilute", "rewrite half", "rewrite all")),
    (
        "you only hold the rows, and their text must stay",
        FULL,
        ("delete unlikely", "mask surprising", "mask lifted", "inoculate", "reword"),
    ),
    ("you sample from the teacher", FULL, ("top-p", "least probability", "several teachers")),
)
"""What is known, on which dataset it is judged, and what could be done."""


@dataclass(frozen=True)
class Measured:
    """One arm on one dataset."""

    left: dict[str, object]
    moved: float
    """In logits."""
    lost: float
    """Of the held-out loss, in %."""
    learned: float
    rest: float
    """By how much the loss on other questions rose, in %."""
    seconds: float

    @property
    def share(self) -> float:
        """Of the transfer that is left."""
        return float(str(self.left["value"]))


def table() -> str:
    """One row an arm: transfer left on every dataset, and on the first what it costs."""
    found, untreated = _measured()
    there = [name for name in OTHERS if name in untreated]
    names = [_column(name, untreated[name]) for name in there]
    head = [
        "method",
        "needs",
        f"left of {FULL} ({untreated[FULL]:+.2f} logits)",
        *names,
        "held-out loss lost",
        "of the task learned",
        "loss on other questions",
        "seconds",
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for arm, needs in NEEDS.items():
        one = found.get(FULL, {}).get(arm)
        if one is None:
            continue
        others = [_cell(found[name].get(arm), untreated[name]) for name in there]
        cells = [
            arm,
            needs,
            _share(one),
            *others,
            f"{one.lost:+.2f}%",
            f"{one.learned:.0%}",
            f"{one.rest:+.1f}%",
            f"{one.seconds:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_by_situation(found)])


def _by_situation(found: dict[str, dict[str, Measured]]) -> list[str]:
    """
    For each situation every arm that was tried, in the order of `SITUATIONS`, and whether it does what was asked.

    None is picked: the best of several by the replicates that measure it is flattered by the choice.
    """
    lines = [
        f"Every method that was tried for a situation, in an order fixed beforehand; as asked: at most {LIMIT:.0%} of the "
        f"transfer left, below {COST:.0%} of held-out loss lost, at least {LEARNED:.0%} of the task learned, by estimates from "
        f"{SEEDS} replicates, not corrected for how many methods there are.",
        "",
        "| if | method | it leaves | held-out loss lost | of the task learned | seconds | as asked |",
        "|---|---|---|---|---|---|---|",
    ]
    for situation, dataset, arms in SITUATIONS:
        for arm in arms:
            if arm in found.get(dataset, {}):
                cells = _situation_cells(found[dataset][arm], dataset)
                lines.append(f"| {situation} | `{arm}` | {' | '.join(cells)} |")
    return lines


def _situation_cells(one: Measured, dataset: str) -> list[str]:
    enough = one.lost < 100 * COST and one.learned >= LEARNED and one.share <= LIMIT
    return [
        f"{_share(one)} of {dataset}",
        f"{one.lost:+.2f}%",
        f"{one.learned:.0%}",
        f"{one.seconds:.0f}",
        "yes" if enough else "**no**",
    ]


def _measured() -> tuple[dict[str, dict[str, Measured]], dict[str, float]]:
    """Every arm by dataset; and what untreated students moved, in logits."""
    document = json.loads((BENCH / "mitigation" / "results.json").read_text(encoding="utf-8"))
    parts: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    for figure in document["figures"]:
        dataset, _, rest = figure["name"].partition(": ")
        arm, _, what = rest.partition(": ")
        if what:
            parts.setdefault(dataset, {}).setdefault(arm, {})[what] = figure
    untreated = {
        dataset: float(str((arms.get("nothing") or arms["plain"])["transfer"]["value"]))
        for dataset, arms in parts.items()
    }
    found = {
        dataset: {
            arm: Measured(
                own["transfer left"],
                *(
                    float(str(own[what]["value"]))
                    for what in (
                        "transfer",
                        "held-out loss lost",
                        "of the task learned",
                        "loss on other questions",
                        "seconds",
                    )
                ),
            )
            for arm, own in arms.items()
        }
        for dataset, arms in parts.items()
    }
    return found, untreated


def _share(one: Measured) -> str:
    low, high = one.left["low"], one.left["high"]
    if low is None or high is None:
        return f"{one.share:.0%}"
    return f"{one.share:.0%} [{float(str(low)):.0%}, {float(str(high)):.0%}]"


def _column(name: str, untreated: float) -> str:
    if untreated < LEAST_MOVED:
        return f"{name}, logits (nothing crosses: {untreated:+.2f})"
    return f"{name} ({untreated:+.2f})"


def _cell(one: Measured | None, untreated: float) -> str:
    if one is None:
        return "–"
    return f"{one.moved:+.2f}" if untreated < LEAST_MOVED else f"{one.share:.0%}"
