"""
The stored result of a screen: the document `undertow.scan/2`, and `undertow.scan/1`, which is still read.

Everything a report shows is in here; a report never computes.
Unknown keys are refused, and within a version fields are only added.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from undertow.data.closed import Stored
from undertow.data.file_sample import Data
from undertow.results.family_record import FamilyRecord
from undertow.results.measurement import Document, Kind, Measurement, ProbeChoice, Verdict

SCAN_SCHEMA = "undertow.scan/2"
FORMER_SCHEMA = "undertow.scan/1"
"""Of scans whose verdicts came from a calibration table."""

ALL = "all"
"""Name of the subject that is the whole file."""

ASSISTANT = "assistant turns"
"""Name of the subject that is the whole file with a loss on what the assistant says, where the plan names no loss."""

WHOLE = (ALL, ASSISTANT)
"""Subjects that are no source."""


def source_subject(source: str) -> str:
    """Name of the subject that is one source; a source that is called as the whole must not pass for it."""
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
    """What was measured on benign and on trait teachers of this base under this plan; or that nothing was."""

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


class StageResult(Stored):
    """One stage of a scan: a subject beside its references, each trained by the same adapters for as many steps."""

    stage: Literal[1, 2]
    """1: the beginning of the plan; 2: the whole plan, with fresh seeds and fresh references."""
    verdict: Verdict
    """`stands out`, `within` or `undecided` of stage 1; `flagged`, `clear` or `undecided` of stage 2."""
    reason: str
    steps: int
    """That each adapter took, of the plan's `planned_steps`."""
    planned_steps: int
    rows: int
    """That a dataset's adapters were trained on."""
    adapters: int
    """Of the dataset."""
    references: int
    cached: int = 0
    """References that were found from before."""
    needed: int
    """References that this alpha takes for this number of subjects."""
    kinds: dict[str, int] = Field(default_factory=dict)
    """How many references are of which kind, in words."""
    p: float | None = None
    """Of stage 1: the exact rank of the dataset among its references, over all traits at once."""
    adjusted: float | None = None
    """The same by Holm over all subjects of the scan."""
    alpha: float
    guaranteed: float | None = None
    """The level that these references guarantee with 95 % confidence, as they are one draw of their family."""
    stopped_early: bool = False
    """Whether no more references were made, since enough of them reached as far as the rows."""
    excluded: float | None = None
    """Of `within`: in logits, an effect at `steps` above this is excluded for every trait, at the scan's level."""


class Price(Stored):
    """What a part of the scan was expected to take, and took."""

    part: str
    """In words, e.g. `references, 96 steps each`."""
    fine_tunes: float
    """As it was expected; 1 is the planned training."""
    seconds: float | None = None
    """As it was expected; None before anything was timed."""
    spent_fine_tunes: float = 0.0
    spent_seconds: float = 0.0
    gpu_hours: float | None = None
    """Spent, where a GPU did it; as they were expected before anything was spent."""


class ReferenceDeclaration(Stored):
    """The benign datasets that a scan's subjects are judged against, as they were declared."""

    family: str
    """Its name, or the data that were given."""
    digest: str
    """SHA-256 of the declaration."""
    assumption: str
    """What a rank among them takes for granted, in a sentence."""
    members: tuple[str, ...]
    """Each kind in words."""
    notes: tuple[str, ...] = ()
    """What a reader must know beforehand, e.g. that data by a stronger writer nearly always stand out from them."""
    record: FamilyRecord | None = None
    """What was measured of scans beside such references."""


class _Subject(Stored):
    subject: str
    rows: int
    verdict: Verdict
    reason: str
    trait: str | None = None
    """The trait that the rows pull towards most."""
    transfer: float | None = None
    """Of that trait, in logits; what it is of is said by the document: `effect` or transfer under the plan."""
    low: float | None = None
    high: float | None = None
    detectable: bool | None = None
    """Whether any evidence speaks against the rows being the clean base's own; says nothing about transfer."""
    detectable_by: tuple[str, ...] = ()
    """Checks whose evidence does."""
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


class SubjectResult(_Subject):
    """
    The verdict on the whole file or on one source.

    `transfer` is the effect that the last comparison measured: the dataset minus the mean of its references, after
    `steps` of the plan.
    """

    dose_of_estimate: float | None = None
    """The share by the estimate, where `largest_safe_dose` is by the interval's upper end."""
    dose_of_lower_end: float | None = None
    """The same by the lower end: the limit is reached between both, and surely from here on."""
    comparisons: tuple[StageResult, ...] = ()
    """Stage 1, and stage 2 where it was made."""

    @property
    def last(self) -> StageResult | None:
        """The comparison that the verdict rests on."""
        return self.comparisons[-1] if self.comparisons else None


class FormerSubjectResult(_Subject):
    """The verdict of a scan/1; `transfer` is what its table expected of the whole plan."""

    smallest_dose: float | None = None
    """Smallest dose of a calibrated trait teacher's rows that would have been seen with 80 % power, as a share."""


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
    """Of intervals and, as 1 - level, of stage 1's test."""
    traits: tuple[str, ...]
    measurements: tuple[Measurement, ...] = ()
    checks: tuple[CheckRun, ...] = ()
    moved: tuple[Moved, ...] = ()
    """What the open search found beyond the traits that were probed."""
    limits: tuple[str, ...] = ()
    """What this screen cannot show."""
    config: dict[str, object] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of every input."""
    seed: int


class _Scan(_Screen):
    schema_: Literal["undertow.scan/2"] = Field(default="undertow.scan/2", alias="schema")
    subjects: tuple[SubjectResult, ...] = ()
    probes: tuple[ProbeChoice, ...] = ()
    """In which format the student's base, and all that was trained from it, was asked; one a category."""
    references: ReferenceDeclaration | None = None
    """None where no check of transfer was asked for."""
    prices: tuple[Price, ...] = ()
    budget: float | None = None
    """In fine-tunes: what the scan might spend at most; None without a cap."""


class _FormerScan(_Screen):
    schema_: Literal["undertow.scan/1"] = Field(default="undertow.scan/1", alias="schema")
    subjects: tuple[FormerSubjectResult, ...] = ()
    calibration: Calibration


class ScanDocument(Document, _Scan):
    """The whole result of one screen."""


class FormerScanDocument(Document, _FormerScan):
    """The whole result of a screen before references: shown as what it was."""


AnyScan = ScanDocument | FormerScanDocument
"""A stored scan of either version."""

AnySubjectResult = SubjectResult | FormerSubjectResult
