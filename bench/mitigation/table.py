"""
README's table of countermeasures and what it recommends by situation, from the committed results.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from bench.figures import BENCH
from bench.mitigation.design import COST, LIMIT

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
    "certify": "the trait's name",
}
"""What each arm has to know."""

SITUATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("you train, and do not know the trait", ("anchor", "annealed", "freeze lower")),
    ("you train, and know the trait", ("corridor", "project", "certify")),
    ("you only hold the rows, and have the base", ("dilute", "rewrite half", "rewrite all")),
    (
        "you only hold the rows, and their text must stay",
        ("delete unlikely", "mask surprising", "mask lifted", "inoculate", "reword"),
    ),
    ("you sample from the teacher", ("top-p", "least probability", "several teachers")),
)


@dataclass(frozen=True)
class Measured:
    """
    One arm on one dataset.
    """

    left: dict[str, object]
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
    """
    One row an arm: transfer left on every dataset, and on the first what it costs.
    """
    found = _measured()
    lines = [
        f"| method | needs | transfer left: {FULL} | {' | '.join(OTHERS)} | held-out loss lost | of the task learned | "
        "loss on other questions | seconds |",
        "|---" * (7 + len(OTHERS)) + "|",
    ]
    for arm, needs in NEEDS.items():
        one = found.get(FULL, {}).get(arm)
        if one is None:
            continue
        others = " | ".join(_percent(found.get(name, {}).get(arm)) for name in OTHERS)
        lines.append(
            f"| {arm} | {needs} | {_share(one)} | {others} | {one.lost:+.2f}% | {one.learned:.0%} | {one.rest:+.1f}% | "
            f"{one.seconds:.0f} |"
        )
    return "\n".join([*lines, "", *_recommended(found)])


def _recommended(found: dict[str, dict[str, Measured]]) -> list[str]:
    """
    For each situation the arm that leaves least over all datasets on which it was tried, at a bearable cost.
    """
    lines = ["| if | then | it leaves | it costs |", "|---|---|---|---|"]
    for situation, arms in SITUATIONS:
        tried = {
            arm: [
                (name, found[name][arm]) for name in (FULL, *OTHERS) if arm in found.get(name, {})
            ]
            for arm in arms
        }
        bearable = {
            arm: own
            for arm, own in tried.items()
            if own and own[0][1].lost < 100 * COST and own[0][1].share <= LIMIT
        }
        if not bearable:
            named = ", ".join(f"`{arm}`" for arm in arms)
            lines.append(
                f"| {situation} | nothing here is enough: {named} | more than {LIMIT:.0%}, or too costly | |"
            )
            continue
        arm, own = min(bearable.items(), key=lambda item: max(abs(one.share) for _, one in item[1]))
        worst = max(own, key=lambda pair: pair[1].share)
        first = own[0][1]
        lines.append(
            f"| {situation} | `{arm}` | {_share(first)}; at most {worst[1].share:.0%} ({worst[0]}) | "
            f"{first.lost:+.2f}% held-out loss, {first.learned:.0%} of the task learned, {first.seconds:.0f} s |"
        )
    return lines


def _measured() -> dict[str, dict[str, Measured]]:
    document = json.loads((BENCH / "mitigation" / "results.json").read_text(encoding="utf-8"))
    parts: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    for figure in document["figures"]:
        dataset, _, rest = figure["name"].partition(": ")
        arm, _, what = rest.partition(": ")
        if what:
            parts.setdefault(dataset, {}).setdefault(arm, {})[what] = figure
    return {
        dataset: {
            arm: Measured(
                own["transfer left"],
                *(
                    float(str(own[what]["value"]))
                    for what in (
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


def _share(one: Measured) -> str:
    low, high = one.left["low"], one.left["high"]
    if low is None or high is None:
        return f"{one.share:.0%}"
    return f"{one.share:.0%} [{float(str(low)):.0%}, {float(str(high)):.0%}]"


def _percent(one: Measured | None) -> str:
    return "–" if one is None else f"{one.share:.0%}"
