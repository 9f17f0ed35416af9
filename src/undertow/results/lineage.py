"""
The stored result of a lineage: the document `undertow.lineage/1`.

Unknown keys are refused, and within version 1 fields are only added.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from undertow.results.measurement import Measurement, Verdict
from undertow.results.scan import CheckRun
from undertow.results.stored import Stored

LINEAGE_SCHEMA = "undertow.lineage/1"

Relation = Literal["same", "disguised", "none", "unknown"]
"""
`same`: one initialisation; `disguised`: one initialisation, but units were permuted or weights rotated; `none`: no
evidence of a common one, with the power that is stated; `unknown`: could not be measured, which counts as shared.
"""


class LayerFit(Stored):
    """
    How well the units of one layer fit those of the other model's, in standard deviations of the null.
    """

    layer: int
    z: float


class Related(Stored):
    """What was found of the student and one teacher."""

    teacher: str
    digest: str | None = None
    relation: Relation
    verdict: Verdict
    """`flagged` where the start is shared, `clear` where there is no evidence of it, `undecided` where it is unknown."""
    reason: str
    p: float | None = None
    """Of the test that decided."""
    detectable: float | None = None
    """Smallest mean cosine of aligned units that would have been seen with 99 % power."""
    same_family: bool | None = None
    """Whether tokenizer and architecture are the same; None where they are not known."""
    hidden_channel: str
    """What the relation means for traits in data that say nothing about them."""
    ordinary_channel: str
    """What it means for traits in ordinary text and preference pairs."""
    layers: tuple[LayerFit, ...] = ()


class LineageDocument(Stored):
    """The whole result of one lineage."""

    schema_: Literal["undertow.lineage/1"] = Field(default="undertow.lineage/1", alias="schema")
    verdict: Verdict
    """The most severe over the teachers."""
    conclusion: str
    advice: str
    """Which teacher, or which family, to prefer."""
    student: str
    student_digest: str | None
    teachers: tuple[Related, ...]
    """The riskiest first."""
    level: float
    """1 - level is the chance that one unrelated pair is taken for a related one by one test."""
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
