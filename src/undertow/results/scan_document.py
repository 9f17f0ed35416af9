"""
The stored result of a screen: the document `undertow.scan/1`.

Everything a report shows is in here; a report never computes.
Unknown keys are refused, and within version 1 fields are only added.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from undertow.data.closed import Stored
from undertow.data.file_sample import Data
from undertow.results.measurement import Document, Kind, Measurement, Verdict

SCAN_SCHEMA = "undertow.scan/1"

ALL = "all"
"""Name of the subject that is the whole file."""

ASSISTANT = "assistant turns"
"""Name of the subject that is the whole file with a loss on what the assistant says, where the plan names no loss."""

WHOLE = (ALL, ASSISTANT)
"""Subjects that are no source."""


def source_subject(source: str) -> str:
    """
    Name of the subject that is one source; a source that is called as the whole must not pass for it.
    """
    return f"source {source}" if source in WHOLE else source


class TrainingLoss(Stored):
    """Which tokens of the rows have a loss under the plan."""

    policy: str
    """As the plan has it: `auto`, `completion`, `last`, `assistant` or `all`."""
    wrap: str = "none"
    """Whether plain strings are put into the chat template."""
    sentence: str
    """The same in words, as it is for these rows."""
    tokens: float
    """With a loss, a row, in the sample."""
    warnings: tuple[str, ...] = ()
    """Which trainers would train these rows otherwise."""


class Calibration(Stored):
    """
    What was measured on benign and on trait teachers of this base under this plan; or that nothing was.
    """

    found: bool
    base_digest: str | None = None
    plan_digest: str | None = None
    teachers: int = 0
    """Independently trained teachers in the table."""
    benign: int = 0
    """Benign datasets."""
    false_alarms: int = 0
    """Benign datasets that were flagged."""
    false_alarm_high: float | None = None
    """Upper limit of the false-alarm rate, one-sided at `level`."""
    transferring: int = 0
    """Datasets whose student moved by at least `power_at` logits."""
    detected: int = 0
    """Those of them that were flagged."""
    power_low: float | None = None
    """Lower limit of the power, one-sided at `level`."""
    power_at: float | None = None
    level: float = 0.95
    other_loss: bool = False
    """Whether the rows learn other tokens than the table's students did, for which its rates were not measured."""
    note: str = ""
    """Where the table comes from, or the command that makes one and what it costs."""


class CheckRun(Stored):
    """One check as it was run."""

    check: str
    kind: Kind
    status: Literal["done", "skipped", "not_applicable", "error"]
    reason: str = ""
    seconds: float = 0.0
    rows: int = 0


class OpenMeaning(Stored):
    """How many rows of a subject's sample say a trait's words or ask its questions: that is no hidden signal."""

    trait: str
    rows: int
    """That do either, anywhere."""
    learnt: int
    """That say a word of the trait in what is learnt."""
    prompt: int
    """That say one in what only stands in the prompt."""
    asked: int
    """That hold a question of the probes."""
    sentence: str
    """What that means for the verdict."""


class SubjectResult(Stored):
    """The verdict on the whole file or on one source."""

    subject: str
    rows: int
    verdict: Verdict
    reason: str
    trait: str | None = None
    """The trait that the rows pull towards most."""
    transfer: float | None = None
    """Expected transfer of that trait under the plan, in logits."""
    low: float | None = None
    high: float | None = None
    detectable: bool | None = None
    """Whether any evidence speaks against the rows being the clean base's own; says nothing about transfer."""
    detectable_by: tuple[str, ...] = ()
    """Checks whose evidence does."""
    smallest_dose: float | None = None
    """Smallest dose of a calibrated trait teacher's rows that would have been seen with 80 % power, as a share."""
    largest_safe_dose: float | None = None
    """Advice: the largest share of these rows, diluted in clean ones, that stays under the limit."""
    largest_safe_steps: int | None = None
    """Advice: the largest number of steps of the plan that stays under the limit."""
    open_meaning: tuple[OpenMeaning, ...] = ()
    """Of each trait that was estimated and not cleared."""

    @property
    def openly(self) -> OpenMeaning | None:
        """Of the trait that the rows pull towards most."""
        return next((one for one in self.open_meaning if one.trait == self.trait), None)


class Moved(Stored):
    """One probe or token that the open search found to move."""

    subject: str
    what: Literal["probe", "token"]
    name: str
    estimate: float
    unit: str
    p: float
    """Against placebo rehearsals, corrected for all that were looked at."""


class _Screen(Stored):
    schema_: Literal["undertow.scan/1"] = Field(default="undertow.scan/1", alias="schema")
    verdict: Verdict
    """Of the whole file and all its sources: the most severe."""
    conclusion: str
    """What was found, in one or two sentences, with numbers."""
    data: Data
    student: str
    student_digest: str | None
    teacher: str | None = None
    control: str
    """`made by the base`, or the path that was given."""
    plan: dict[str, object]
    planned_steps: int
    loss: TrainingLoss | None = None
    """Which tokens of the rows are learnt."""
    limit: float = 0.2
    """In logits of transfer."""
    level: float
    """Of flagging and of clearing."""
    traits: tuple[str, ...]
    subjects: tuple[SubjectResult, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    checks: tuple[CheckRun, ...] = ()
    moved: tuple[Moved, ...] = ()
    """What the open search found beyond the traits that were probed."""
    calibration: Calibration
    limits: tuple[str, ...] = ()
    """What this screen cannot show."""
    config: dict[str, object] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of every input."""
    seed: int


class ScanDocument(Document, _Screen):
    """The whole result of one screen."""
