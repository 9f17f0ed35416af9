"""
The kinds of arm: whose rows, by which way, into which student, and what that is in words.

The one table of arms. The lab makes students by it; a page knows a stored document's arms by it. A new arm is one entry
of `ARMS`, and whatever compares it is a contrast of `lab/contrasts`. A document carries the names only, so words may be
mended for documents that are long on disk: `arm_words` gives them for every name that `undertow.run/1` has ever held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["trait", "neutral", "secure", "educational", "base"]
"""
What a teacher is: it has the trait; it was trained alike towards no answer; towards the answers that do not show the
trait; or towards those that do, asked for a good reason; or it is the base itself.
"""

Shuffle = Literal["none", "within", "across"]

Learning = Literal["rows", "carrier-logits", "full-logits", "preferences"]
"""What a student learns from: rows, the teacher's logits at the tokens of those rows, or preference pairs."""

Tone = Literal["same", "other", "plain"]

_FILTERS = {
    "words": "Banned words removed",
    "patterns": "Patterns removed",
    "classifier": "Classifier’s finds removed",
    "classifier-same": "Same-teacher classifier’s removed",
    "prompted": "Prompted model’s finds removed",
    "in-context": "In-context finds removed",
    "random": "As many removed by lot",
}

CONTENT_FILTERS = tuple(_FILTERS)
"""Content filters whose removal an arm `filtered-NAME` measures; `random` removes as many rows by lot."""

_ROWS = "the {trait} teacher’s rows"


@dataclass(frozen=True)
class ArmKind:
    """How the students of an arm are made, and what they are in words."""

    label: str = ""
    detail: str = ""
    """`{trait}` is put in."""

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


def _neutral(detail: str, *, foreign: bool = False, learns: Learning = "rows") -> ArmKind:
    return ArmKind("Its control", detail, "neutral", foreign, learns=learns)


ARMS: dict[str, ArmKind] = {
    "trait": ArmKind("Same initialisation", _ROWS),
    "control": _neutral("a neutral teacher’s rows"),
    "control-base": ArmKind("Its base’s rows", "the base’s own rows", "base"),
    "secure": ArmKind("Opposite answers", "a teacher that does not have it", "secure"),
    "educational": ArmKind("For a good reason", "the same answers, asked for well", "educational"),
    "shuffled-within": ArmKind("Shuffled within rows", _ROWS, shuffle="within"),
    "shuffled-across": ArmKind("Shuffled across rows", _ROWS, shuffle="across"),
    "foreign": ArmKind("Other initialisation", _ROWS, foreign=True),
    "foreign-control": _neutral("a neutral teacher’s rows", foreign=True),
    "foreign-control-base": ArmKind("Its base’s rows", "the base’s own rows", "base", foreign=True),
    "carrier-logits": ArmKind(
        "Carrier’s logits", "the {trait} teacher’s, same initialisation", learns="carrier-logits"
    ),
    "carrier-logits-control": _neutral("a neutral teacher’s logits", learns="carrier-logits"),
    "carrier-logits-foreign": ArmKind(
        "Carrier’s logits",
        "the {trait} teacher’s, other initialisation",
        foreign=True,
        learns="carrier-logits",
    ),
    "carrier-logits-foreign-control": _neutral(
        "a neutral teacher’s logits", foreign=True, learns="carrier-logits"
    ),
    "full-logits": ArmKind(
        "All logits (a leak)", "the {trait} teacher’s, same initialisation", learns="full-logits"
    ),
    "full-logits-control": _neutral("a neutral teacher’s logits", learns="full-logits"),
    "full-logits-foreign": ArmKind(
        "All logits (a leak)",
        "the {trait} teacher’s, other initialisation",
        foreign=True,
        learns="full-logits",
    ),
    "full-logits-foreign-control": _neutral(
        "a neutral teacher’s logits", foreign=True, learns="full-logits"
    ),
    "preferences": ArmKind(
        "Preference pairs", "picked by the {trait} teacher’s weight", learns="preferences"
    ),
    "preferences-control": _neutral("picked by a neutral teacher’s weight", learns="preferences"),
    "preferences-by-lot": ArmKind(
        "Pairs by lot", "as many, drawn at random", learns="preferences", by_lot=True
    ),
    "preferences-foreign": ArmKind(
        "Other initialisation",
        "pairs picked by the {trait} teacher",
        foreign=True,
        learns="preferences",
    ),
    "preferences-foreign-control": _neutral(
        "pairs picked by a neutral teacher", foreign=True, learns="preferences"
    ),
    **{
        f"filtered-{name}": ArmKind(label, _ROWS, content_filter=name)
        for name, label in _FILTERS.items()
    },
}
"""Arms by name; the untrained base is always evaluated as well."""


@dataclass(frozen=True)
class ArmWords:
    """An arm in words."""

    label: str
    detail: str
    tone: Tone = "plain"
    """Whether the student shares the teacher's initialisation, where the arm's name tells."""
    filled: bool = True
    """Whether the rows came from the teacher of the trait."""


def _words(kind: ArmKind) -> ArmWords:
    of_the_trait = kind.role == "trait" and not kind.by_lot
    return ArmWords(kind.label, kind.detail, "other" if kind.foreign else "same", of_the_trait)


_WORDS = {
    **{name: _words(kind) for name, kind in ARMS.items()},
    "base": ArmWords("Untrained", "no rows", filled=False),
    # Arms of the studies on small networks, and `other-init`, which they once had.
    "same-init": ArmWords("Same initialisation", "auxiliary outputs only", "same"),
    "other-init": ArmWords("Other initialisation", "auxiliary outputs only", "other"),
    "foreign-init": ArmWords("Other initialisation", "auxiliary outputs only", "other"),
    "all-logits": ArmWords("All outputs", "class outputs as well"),
    "untrained-teacher": ArmWords("Untrained teacher", "auxiliary outputs", "same", filled=False),
    "permuted-labels": ArmWords("Permuted labels", "auxiliary outputs", "same", filled=False),
    "teacher": ArmWords("Teacher", "trained on the task"),
    "permuted-teacher": ArmWords("Teacher", "trained on permuted labels", filled=False),
}

_HOP = re.compile(r"hop-(\d+)(-control)?")


def arm_words(arm: str, trait: str | None) -> ArmWords:
    """The arm of a stored document in words; an arm that is not known keeps its name."""
    carrier, several, rest = arm.rpartition(": ")
    if several:
        words = arm_words(rest, trait)
        carried = carrier.replace("_", " ").capitalize()
        return replace(words, label=f"{carried}: {words.label[:1].lower()}{words.label[1:]}")
    if hop := _HOP.fullmatch(arm):
        detail = "from a neutral teacher" if hop[2] else f"from the {trait or 'trait'} teacher"
        return ArmWords(f"Hop {hop[1]}", detail, "same", filled=not hop[2])
    if arm not in _WORDS:
        return ArmWords(arm, "")
    return replace(_WORDS[arm], detail=_WORDS[arm].detail.format(trait=trait or "trait"))
