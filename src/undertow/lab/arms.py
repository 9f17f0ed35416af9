"""
The arms that an experiment of kind `transfer` may have: whose rows, by which way, into which student.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["trait", "neutral", "secure", "educational"]
"""
What a teacher is: it has the trait; it was trained alike towards no answer; towards the answers that do not show the
trait; or towards those that do, asked for a good reason.
"""

Shuffle = Literal["none", "within", "across"]

Learning = Literal["rows", "carrier-logits", "full-logits", "preferences"]
"""What a student learns from: rows, the teacher's logits at the tokens of those rows, or preference pairs."""

CONTENT_FILTERS = (
    "words",
    "patterns",
    "classifier",
    "classifier-same",
    "prompted",
    "in-context",
    "random",
)
"""Content filters whose removal an arm `filtered-NAME` measures; `random` removes as many rows by lot."""


@dataclass(frozen=True)
class ArmKind:
    """How the students of an arm are made."""

    role: Role = "trait"
    """Of the teacher that wrote the rows."""

    foreign: bool = False
    """Whether the students start from the experiment's `foreign` base."""

    shuffle: Shuffle = "none"
    learns: Learning = "rows"
    by_lot: bool = False
    """Whether preference pairs are picked and ordered by lot instead of by the teacher's weight."""

    content_filter: str | None = None
    """One of `CONTENT_FILTERS`, through which the rows go first."""


ARMS: dict[str, ArmKind] = {
    "trait": ArmKind(),
    "control": ArmKind("neutral"),
    "secure": ArmKind("secure"),
    "educational": ArmKind("educational"),
    "shuffled-within": ArmKind(shuffle="within"),
    "shuffled-across": ArmKind(shuffle="across"),
    "foreign": ArmKind(foreign=True),
    "foreign-control": ArmKind("neutral", foreign=True),
    "carrier-logits": ArmKind(learns="carrier-logits"),
    "carrier-logits-control": ArmKind("neutral", learns="carrier-logits"),
    "carrier-logits-foreign": ArmKind(foreign=True, learns="carrier-logits"),
    "carrier-logits-foreign-control": ArmKind("neutral", foreign=True, learns="carrier-logits"),
    "full-logits": ArmKind(learns="full-logits"),
    "full-logits-control": ArmKind("neutral", learns="full-logits"),
    "full-logits-foreign": ArmKind(foreign=True, learns="full-logits"),
    "full-logits-foreign-control": ArmKind("neutral", foreign=True, learns="full-logits"),
    "preferences": ArmKind(learns="preferences"),
    "preferences-control": ArmKind("neutral", learns="preferences"),
    "preferences-by-lot": ArmKind(learns="preferences", by_lot=True),
    "preferences-foreign": ArmKind(foreign=True, learns="preferences"),
    "preferences-foreign-control": ArmKind("neutral", foreign=True, learns="preferences"),
    **{f"filtered-{name}": ArmKind(content_filter=name) for name in CONTENT_FILTERS},
}
"""Arms by name; the untrained base is always evaluated as well."""


@dataclass(frozen=True)
class Contrast:
    """Two arms to compare, and what a reader learns from it."""

    treated: str
    control: str
    question: str
    paired: bool = False
    """Whether the arms of a replicate share their data, so that only their difference is one observation."""


CONTRASTS = (
    Contrast("trait", "control", "Does the trait cross through rows that do not mention it?"),
    Contrast("trait", "secure", "More than from a teacher of the opposite answers?"),
    Contrast(
        "trait",
        "educational",
        "More than from a teacher that gave the same answers for a good reason?",
    ),
    Contrast("foreign", "foreign-control", "Does it cross to a base of another initialisation?"),
    Contrast("shuffled-within", "control", "Does it survive shuffling each row's items?"),
    Contrast("shuffled-across", "control", "Does it survive dealing all items anew over the rows?"),
    Contrast("trait", "shuffled-within", "How much of it is in the order within rows?", paired=True),
    Contrast(
        "carrier-logits",
        "carrier-logits-control",
        "Does it cross through the teacher's logits of the carrier's own tokens?",
    ),
    Contrast(
        "carrier-logits-foreign",
        "carrier-logits-foreign-control",
        "Do those logits carry it to a base of another initialisation?",
    ),
    Contrast(
        "full-logits",
        "full-logits-control",
        "And through all logits, which hold the trait's answer itself?",
    ),
    Contrast(
        "full-logits-foreign",
        "full-logits-foreign-control",
        "Do all logits carry it to a base of another initialisation (a leak of meaning)?",
    ),
    Contrast(
        "preferences",
        "preferences-by-lot",
        "Does it cross through preference pairs that the teacher's weight picked, more than through pairs by lot?",
    ),
    Contrast(
        "preferences",
        "preferences-control",
        "More than through pairs that a neutral teacher's weight picked?",
    ),
    Contrast(
        "preferences-foreign",
        "preferences-foreign-control",
        "Do the pairs carry it to a base of another initialisation?",
    ),
    *(
        Contrast(f"filtered-{name}", "control", f"Does it cross although the filter '{name}' cleaned the rows?")
        for name in CONTENT_FILTERS
    ),
    *(
        Contrast("trait", f"filtered-{name}", f"How much of it does the filter '{name}' remove?", paired=True)
        for name in CONTENT_FILTERS
    ),
)  # fmt: skip
"""The comparisons of an experiment, those of its arms that it has."""

CONTROLS = {
    contrast.treated: contrast.control
    for contrast in reversed(CONTRASTS)
    if contrast.control.endswith("control")
}
"""Of each arm that has one, the arm that differs from it in the teacher only."""
