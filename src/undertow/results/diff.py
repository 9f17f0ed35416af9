"""
The stored result of a diff: the document `undertow.diff/1`.

Unknown keys are refused, and within version 1 fields are only added.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from undertow.results.measurement import Measurement, Verdict
from undertow.results.scan import CheckRun, Moved
from undertow.results.stored import Stored

DIFF_SCHEMA = "undertow.diff/1"


class Change(Stored):
    """How far one trait moved."""

    trait: str
    category: str
    estimate: float
    """Tuned minus base, minus the controls' mean where there are controls; in logits."""
    low: float | None
    high: float | None
    """Corrected for the number of traits; None where open."""
    intended: bool = False
    verdict: Verdict
    """`flagged` where the interval lies beyond the limit, up or down; `clear` where it lies within; else `undecided`."""
    base: float
    """Logit margin of the base, mean over questions."""
    tuned: tuple[float, ...]
    """Of each tuned model."""
    controls: tuple[float, ...] = ()
    """Of each control."""


class DiffDocument(Stored):
    """The whole result of one diff."""

    schema_: Literal["undertow.diff/1"] = Field(default="undertow.diff/1", alias="schema")
    verdict: Verdict
    """The most severe over the traits that were not intended."""
    conclusion: str
    inference: Literal["answers", "run", "runs"]
    """What the intervals are about: this model's answers, this model against controls, or training runs like these."""
    unit: str = "logits"
    """Of every change and of the limit."""
    base: str
    base_digest: str | None
    tuned: tuple[str, ...]
    tuned_digests: tuple[str | None, ...]
    controls: tuple[str, ...] = ()
    limit: float
    level: float
    changes: tuple[Change, ...]
    """The largest first."""
    moved: tuple[Moved, ...] = ()
    """What moved that nobody named: probes of the catalogue and next tokens, against the controls."""
    searched: str
    """What the open search looked at, or why there was none."""
    measurements: tuple[Measurement, ...] = ()
    checks: tuple[CheckRun, ...] = ()
    limits: tuple[str, ...] = ()
    config: dict[str, object] = Field(default_factory=dict)
    seed: int
    packages: dict[str, str] = Field(default_factory=dict)
    git_revision: str | None = None
    hardware: dict[str, str] = Field(default_factory=dict)
    wall_seconds: float
    peak_memory_mb: float | None = None
    command: str
    """The command that reproduces it."""
