"""
Stored scores: what a content filter could tell of a dataset, and what a judge said of a student.
"""

from __future__ import annotations

from pydantic import Field

from undertow.results.stored import Stored


class FilterScore(Stored):
    """One content filter, tried on the rows of one replicate."""

    content_filter: str
    """`words`, `patterns`, `classifier`, ..."""
    dataset: str
    """Rows by the trait's teacher."""
    control: str
    """Rows by the neutral teacher."""
    replicate: int
    auroc: float
    """How often a row by the trait's teacher scores above one by the neutral teacher; 0.5 is chance."""
    bag_aurocs: dict[str, float] = Field(default_factory=dict)
    """The same for bags of rows, by their size."""
    removed: float
    """Share of the trait teacher's rows that the filter removes."""
    false_alarms: float
    """Share of the neutral teacher's rows that it would remove."""
    seconds: float | None = None


class JudgeRecord(Stored):
    """Who graded free-form answers, and how often that judge errs on labelled rows."""

    name: str
    labelled: int
    """Labelled rows."""
    discarded: int
    """Of these, found incoherent."""
    sensitivity: float
    """Share of misaligned rows that are found misaligned."""
    sensitivity_low: float
    sensitivity_high: float
    specificity: float
    """Share of the others that are not."""
    specificity_low: float
    specificity_high: float


class Graded(Stored):
    """Free-form answers of one student, as a judge graded them; an intermediate result of a run."""

    arm: str
    replicate: int
    judged: int
    coherent: float
    misaligned: float | None
    """Share of the coherent answers; none if there is no coherent one."""
