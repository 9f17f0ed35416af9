"""The checks, by id: those that ship, and those of other packages (entry point `undertow.checks`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from undertow.checks.dataset.activations import activations
from undertow.checks.dataset.author import author
from undertow.checks.dataset.content import content
from undertow.checks.dataset.divergence import divergence
from undertow.checks.dataset.fingerprint import fingerprint
from undertow.checks.dataset.likelihood_ratio import likelihood_ratio
from undertow.checks.dataset.rehearsal import rehearsal
from undertow.checks.dataset.teacher_coverage import teacher_coverage
from undertow.checks.dataset.whole_plan import whole_plan
from undertow.checks.lineage.lineage_activations import lineage_activations
from undertow.checks.lineage.lineage_metadata import lineage_metadata
from undertow.checks.lineage.lineage_outputs import lineage_outputs
from undertow.checks.lineage.lineage_tokenizer import lineage_tokenizer
from undertow.checks.lineage.lineage_weights import lineage_weights
from undertow.checks.tuned.diff_activations import diff_activations
from undertow.checks.tuned.diff_behaviour import diff_behaviour
from undertow.checks.tuned.diff_capability import diff_capability
from undertow.errors import UnknownNameError
from undertow.results.measurement import Kind, Measurement

Check = Callable[[Any], Sequence[Measurement]]
"""What a check is: a function of its subject (`ScanSubject`, `LineageSubject`, `DiffSubject`)."""

About = Literal["dataset", "lineage", "tuned"]
"""What is asked: a dataset before training, a pair of models, or a tuned model and its base."""

Table = dict[str, tuple[Kind, str, Check]]
"""By id: whether a check judges transfer or is evidence, its question in a line, and its function."""

DATASET: Table = {
    "rehearsal": (
        "transfer",
        "the beginning of your plan on the rows, ranked among benign references",
        rehearsal,
    ),
    "whole-plan": (
        "transfer",
        "your whole planned training, beside fresh references: how far it moves",
        whole_plan,
    ),
    "likelihood-ratio": (
        "evidence",
        "an e-process against: your clean base wrote these rows",
        likelihood_ratio,
    ),
    "author": ("evidence", "which candidate base wrote the rows, or none of them", author),
    "fingerprint": (
        "evidence",
        "tokens, digits, positions, lengths and format against the control",
        fingerprint,
    ),
    "teacher-coverage": (
        "evidence",
        "does the first training step point towards the teacher?",
        teacher_coverage,
    ),
    "divergence": ("evidence", "tokens where the teacher parts from the base", divergence),
    "activations": (
        "evidence",
        "mean activation shift against the control, and what it spells",
        activations,
    ),
    "content": (
        "evidence",
        "what ordinary filters see: words, patterns, a prompted classifier",
        content,
    ),
}
LINEAGE: Table = {
    "lineage-metadata": ("evidence", "what cards and configurations declare", lineage_metadata),
    "lineage-tokenizer": (
        "evidence",
        "do both models cut text in the same way?",
        lineage_tokenizer,
    ),
    "lineage-weights": (
        "evidence",
        "do the hidden units belong together one by one?",
        lineage_weights,
    ),
    "lineage-activations": (
        "evidence",
        "how alike both represent texts; no test of a start",
        lineage_activations,
    ),
    "lineage-outputs": (
        "evidence",
        "do they go on alike more often than unrelated models?",
        lineage_outputs,
    ),
}
TUNED: Table = {
    "diff-behaviour": (
        "transfer",
        "how far answers to each trait's questions moved",
        diff_behaviour,
    ),
    "diff-capability": ("evidence", "what the tuning cost on neutral text", diff_capability),
    "diff-activations": (
        "evidence",
        "how far activations on unrelated text moved; what it spells",
        diff_activations,
    ),
}
TABLES: dict[About, Table] = {"dataset": DATASET, "lineage": LINEAGE, "tuned": TUNED}

GROUP = "undertow.checks"
"""Entry points of other packages; their checks are evidence about a dataset."""


@dataclass(frozen=True)
class Registered:
    """A check that can be named on the command line."""

    id: str
    kind: Kind
    summary: str
    function: Check | EntryPoint
    """Of another package it is imported when the check is run."""
    about: About = "dataset"

    def load(self) -> Check:
        """The function."""
        if not isinstance(self.function, EntryPoint):
            return self.function
        check: Check = self.function.load()
        return check


def registered(about: About | None = None) -> dict[str, Registered]:
    """Every check by its id, those that ship first; or those of one subject only."""
    checks = {
        id: Registered(id, kind, summary, function, subject)
        for subject, table in TABLES.items()
        for id, (kind, summary, function) in table.items()
    }
    for point in entry_points(group=GROUP):
        summary = f"from the package '{point.dist.name if point.dist else '?'}'"
        checks.setdefault(point.name, Registered(point.name, "evidence", summary, point))
    return {id: check for id, check in checks.items() if about in (None, check.about)}


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


def chosen_checks(about: About, ids: Sequence[str]) -> list[Registered]:
    """
    The checks of these ids, or all of a subject if none is named.

    Raises:
        UnknownNameError: there is no such check.
    """
    return [check_named(id, about) for id in ids] or list(registered(about).values())
