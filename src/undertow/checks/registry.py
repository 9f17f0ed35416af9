"""
The checks, by id: those that ship, and those of other packages (entry point `undertow.checks`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal

from undertow.errors import UnknownNameError
from undertow.results.measurement import Kind, Measurement

Check = Callable[[Any], Sequence[Measurement]]
"""What a check is: a function of its subject (`dataset.subject.Subject`, `lineage.pair.Pair`,
`tuned.subject.Tuned`)."""

About = Literal["dataset", "lineage", "tuned"]
"""What is asked: a dataset before training, a pair of models, or a tuned model and its base."""

GROUP = "undertow.checks"
"""Entry points of other packages; their checks are evidence."""


@dataclass(frozen=True)
class Registered:
    """A check that can be named on the command line."""

    id: str
    kind: Kind
    summary: str
    target: str
    """`module:function`; imported when the check is run."""
    about: About = "dataset"

    def load(self) -> Check:
        """The function."""
        module, _, name = self.target.partition(":")
        check: Check = getattr(importlib.import_module(module), name)
        return check


_DATASET = (
    ("rehearsal", "transfer", "a short run of the plan, amplified: what would move, and how far"),
    ("likelihood-ratio", "evidence", "an e-process against: your clean base wrote these rows"),
    ("author", "evidence", "which candidate base wrote the rows, or none of them"),
    (
        "fingerprint",
        "evidence",
        "tokens, digits, positions, lengths and format against the control",
    ),
    ("teacher-coverage", "evidence", "does the first training step point towards the teacher?"),
    ("divergence", "evidence", "tokens where the teacher parts from the base"),
    ("activations", "evidence", "mean activation shift against the control, and what it spells"),
    ("content", "evidence", "what ordinary filters see: words, patterns, a prompted classifier"),
)
_LINEAGE = (
    ("lineage-metadata", "evidence", "what cards and configurations declare"),
    ("lineage-tokenizer", "evidence", "do both models cut text in the same way?"),
    ("lineage-weights", "evidence", "do the hidden units belong together one by one?"),
    ("lineage-activations", "evidence", "how alike both represent texts; no test of a start"),
    ("lineage-outputs", "evidence", "do they go on alike more often than unrelated models?"),
)
_TUNED = (
    ("diff-behaviour", "transfer", "how far answers to each trait's questions moved"),
    ("diff-capability", "evidence", "what the tuning cost on neutral text"),
    ("diff-activations", "evidence", "how far activations on unrelated text moved; what it spells"),
)


def registered(about: About | None = None) -> dict[str, Registered]:
    """Every check by its id, those that ship first; or those of one subject only."""
    found = {
        id: Registered(id, kind, summary, _target(subject, id), subject)  # type: ignore[arg-type]
        for subject, checks in (
            ("dataset", _DATASET),
            ("lineage", _LINEAGE),
            ("tuned", _TUNED),
        )
        for id, kind, summary in checks
    }
    for point in entry_points(group=GROUP):
        summary = f"from the package '{point.dist.name if point.dist else '?'}'"
        found.setdefault(point.name, Registered(point.name, "evidence", summary, point.value))
    return {id: one for id, one in found.items() if about in (None, one.about)}


def _target(about: str, id: str) -> str:
    prefix = {"lineage": "lineage-", "tuned": "diff-"}.get(about, "")
    name = id.removeprefix(prefix).replace("-", "_")
    return f"undertow.checks.{about}.{name}:{name}"


def check_named(id: str, about: About | None = None) -> Registered:
    """
    One check, of one subject if that is given.

    Raises:
        UnknownNameError: there is no such check.
    """
    known = registered(about)
    if id not in known:
        raise UnknownNameError("check", id, known, hint="undertow checks")
    return known[id]
