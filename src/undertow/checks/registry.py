"""
The checks of a dataset, by id: those that ship, and those of other packages (entry point `undertow.checks`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from undertow.errors import UnknownNameError
from undertow.results.measurement import Kind, Measurement

if TYPE_CHECKING:
    from undertow.checks.dataset.subject import Subject

Check = Callable[["Subject"], Sequence[Measurement]]
"""What a check is."""

GROUP = "undertow.checks"
"""Entry points of other packages; their checks are evidence."""


@dataclass(frozen=True)
class Registered:
    """
    A check that can be named on the command line.
    """

    id: str
    kind: Kind
    summary: str
    target: str
    """`module:function`; imported when the check is run."""

    def load(self) -> Check:
        """The function."""
        module, _, name = self.target.partition(":")
        check: Check = getattr(importlib.import_module(module), name)
        return check


_PACKAGE = "undertow.checks.dataset"
_SHIPPED = (
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


def registered() -> dict[str, Registered]:
    """
    Every check by its id, those that ship first.
    """
    found = {
        id: Registered(id, kind, summary, f"{_PACKAGE}.{name}:{name}")  # type: ignore[arg-type]
        for id, kind, summary in _SHIPPED
        for name in [id.replace("-", "_")]
    }
    for point in entry_points(group=GROUP):
        summary = f"from the package '{point.dist.name if point.dist else '?'}'"
        found.setdefault(point.name, Registered(point.name, "evidence", summary, point.value))
    return found


def check_named(id: str) -> Registered:
    """
    One check.

    Raises:
        UnknownNameError: there is no such check.
    """
    known = registered()
    if id not in known:
        raise UnknownNameError("check", id, known, hint="undertow checks")
    return known[id]
