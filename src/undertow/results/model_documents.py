"""
The stored results of a lineage and of a diff: the documents `undertow.lineage/1` and `undertow.diff/1`.

Unknown keys are refused, and within version 1 fields are only added.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from undertow.data.closed import Stored
from undertow.results.measurement import Document, Measurement, ProbeChoice, Verdict
from undertow.results.scan_document import CheckRun, Moved

LINEAGE_SCHEMA = "undertow.lineage/1"
DIFF_SCHEMA = "undertow.diff/1"

Relation = Literal["same", "disguised", "none", "unknown"]
"""
`same`: one initialisation; `disguised`: one initialisation, but units were permuted or weights rotated; `none`: no
evidence of a common one, with the power that is stated; `unknown`: could not be measured, which counts as shared.
"""


class LayerFit(Stored):
    """How well the units of one layer fit those of the other model's, in standard deviations of the null."""

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


class _Lineage(Stored):
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


class LineageDocument(Document, _Lineage):
    """The whole result of one lineage."""

    @model_validator(mode="after")
    def _with_teachers(self) -> Self:
        if not self.teachers:
            raise ValueError("it is about no teacher")
        return self


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


class _Diff(Stored):
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
    draws: int | None = None
    """Independent draws of rows that the controls learned from, which is how many of them count."""
    limit: float
    level: float
    changes: tuple[Change, ...]
    """The largest first."""
    moved: tuple[Moved, ...] = ()
    """What moved that nobody named: probes of the catalogue and next tokens, against the controls."""
    probes: tuple[ProbeChoice, ...] = ()
    """In which format the base, and all that was tuned from it, was asked; one a category."""
    searched: str
    """What the open search looked at, or why there was none."""
    measurements: tuple[Measurement, ...] = ()
    checks: tuple[CheckRun, ...] = ()
    limits: tuple[str, ...] = ()
    config: dict[str, object] = Field(default_factory=dict)
    seed: int


class DiffDocument(Document, _Diff):
    """The whole result of one diff."""

    @model_validator(mode="after")
    def _with_digests(self) -> Self:
        if len(self.tuned) != len(self.tuned_digests):
            raise ValueError("'tuned' and 'tuned_digests' are of different lengths")
        return self


class Kept(Stored):
    """One probe, as it was kept."""

    trait: str
    budget: float
    """Largest change of the trait's margin from the start, up or down, in logits."""
    start: float
    end: float
    """Margins, in logits, on the wordings that were certified."""
    furthest: float
    """Largest change at any accepted step, in magnitude, in logits; never above the budget."""
    held_out: float | None = None
    """Change on wordings that nothing was held to, at the end; measured, not certified."""


class CertificateDocument(Stored):
    """What was promised of a run, and that it held at every step."""

    schema_: Literal["undertow.certificate/1"] = Field(
        default="undertow.certificate/1", alias="schema"
    )
    kept: tuple[Kept, ...]
    steps: int
    whole: int
    """Steps that were taken as the optimiser made them."""
    shortened: int
    """Steps that were taken in part."""
    refused: int
    """Steps that were not taken at all."""
    says: str = (
        "At the end of every step each named probe lay within its budget, on the wordings that were certified, in the "
        "precision in which they were read. Nothing is said of other wordings, other traits, or the model in another precision."
    )

    @property
    def holds(self) -> bool:
        """Whether every probe stayed within its budget; True of every certificate that `Budget` makes."""
        return all(one.furthest <= one.budget for one in self.kept)
