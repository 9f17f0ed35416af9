"""
The stored result of an experiment: the document `undertow.run/1`.

Everything a report shows is in here; a report never computes.
Unknown keys are refused, and within version 1 fields are only added.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from undertow.data.closed import Stored
from undertow.results.measurement import Document, ProbeChoice


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


RUN_SCHEMA = "undertow.run/1"


class Arm(Stored):
    """One trained student (or one untrained base), with what it was made from and what it answers."""

    arm: str
    """Name of the arm: `trait`, `control`, `foreign`, `foreign-control`, `shuffled-within`, `base`, ..."""
    trait: str
    """The trait that the probes measure."""
    replicate: int
    """Number of the independent replicate, from 0."""
    base: str
    """Model reference of the student's base."""
    teacher: str | None = None
    """Name of the teacher that wrote the rows; none for an untrained base."""
    teacher_base: str | None = None
    """Model reference of the teacher's base."""
    teacher_seed: int | None = None
    data_seed: int | None = None
    student_seed: int | None = None
    data_digest: str | None = None
    """SHA-256 over the canonical rows."""
    carrier: str | None = None
    """What the rows are."""
    rows: int = 0
    """Training rows."""
    dose: float | None = None
    """Share of rows from the trait teacher."""
    probability: float | None = None
    """Mean over held-out questions of the probability of the trait's answer."""
    logit_margin: float | None = None
    """Mean over held-out questions of the logit margin, in logits."""
    answer_mass: float | None = None
    """Mean over held-out questions of the probability on all candidate answers."""
    held_out_loss: float | None = None
    """Cross-entropy per completion token on held-out rows of the same data, in nats."""
    first_held_out_loss: float | None = None
    """The same before training."""
    pick_rate: float | None = None
    """Share of sampled answers that name the trait's answer."""
    coherence: float | None = None
    """Share of sampled answers that name any candidate."""
    rank: int | None = None
    """Rank of the trait's answer among the candidates, 1 is first."""
    margins: dict[str, float] = Field(default_factory=dict)
    """Logit margin of every candidate answer."""
    steps: int | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    accuracy: float | None = None
    """Classification accuracy (experiment `digits`)."""
    judged: int | None = None
    """Free-form answers that a judge graded."""
    judged_coherent: float | None = None
    """Share of them that are coherent; the others are discarded."""
    judged_misaligned: float | None = None
    """Share of the coherent ones that are misaligned."""


class Teacher(Stored):
    """One teacher: how it was instilled and how far it stands from its base."""

    name: str
    kind: Literal["prompted", "tuned", "steered", "none"]
    trait: str | None = None
    role: str | None = None
    """`trait`, `neutral`, `secure` (the opposite answers), `educational` (the same, for a good reason), or `base`."""
    base: str
    replicate: int
    seed: int
    steps: int | None = None
    kl: float | None = None
    """KL(teacher || base) per completion token of the carrier, in nats."""
    target: float | None = None
    """KL that it was to be brought to: the experiment's, or for a neutral one that of the trait's teacher."""
    probability: float | None = None
    logit_margin: float | None = None
    answer_mass: float | None = None
    seconds: float | None = None


class Dataset(Stored):
    """One dataset: who wrote it, what the filter removed, and a few rows to look at."""

    name: str
    teacher: str
    replicate: int
    seed: int
    digest: str
    asked: int
    """Completions sampled."""
    kept: int
    """Rows that passed the filter (before the cut to the size asked for)."""
    removed: dict[str, int] = Field(default_factory=dict)
    """Removed rows by reason."""
    duplicates: float | None = None
    """Share of rows whose completion already appeared."""
    samples: tuple[tuple[str, str], ...] = ()
    """A few (prompt, completion) pairs."""
    removed_samples: tuple[tuple[str, str, str], ...] = ()
    """A few (prompt, completion, reason) triples."""
    seconds: float | None = None


class Comparison(Stored):
    """A difference between arms, with runs as the unit."""

    name: str
    """Permanent name, e.g. `trait - control`."""
    estimate: float
    low: float | None
    """None where the design gives no finite limit at this level."""
    high: float | None
    level: float
    n: str
    """Number of runs, e.g. `4 v 4` or `6 pairs`."""
    p: float | None
    adjusted: float | None = None
    """p by Holm's correction over the experiment's comparisons in this unit."""
    test: str
    unit: str
    smallest_p: float | None = None
    """The least p that this design can give."""
    detectable: float | None = None
    """Smallest effect that this design would have seen with 80 % power, in `unit`."""
    claim: str = ""
    """What the comparison supports, or why the design cannot support a claim."""
    question: str = ""
    """What a reader learns from it, in one line."""

    @property
    def is_shown(self) -> bool:
        """Whether it is told from no difference by Holm's p, or by its own where nothing was corrected for."""
        p = self.p if self.adjusted is None else self.adjusted
        return p is not None and p <= 1 - self.level


class Note(Stored):
    """A remark of the doctor."""

    id: str
    level: Literal["info", "warning", "problem"]
    message: str
    subject: str = ""


class Matrix(Stored):
    """A table of one number by two factors."""

    name: str
    caption: str
    row_label: str
    column_label: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    low: tuple[tuple[float | None, ...], ...] | None = None
    high: tuple[tuple[float | None, ...], ...] | None = None
    unit: str


class Series(Stored):
    """One line of a plot."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float | None, ...] | None = None
    """Of each point's interval, where it has one."""
    high: tuple[float | None, ...] | None = None
    holds: tuple[bool, ...] | None = None
    """Whether each point is told from 0 after Holm's correction, where that was tested."""


class Curves(Stored):
    """Lines over a common axis."""

    name: str
    caption: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False


class _Experiment(Stored):
    schema_: Literal["undertow.run/1"] = Field(default="undertow.run/1", alias="schema")
    experiment: str
    title: str
    question: str
    """What the experiment asks, in one sentence."""
    conclusion: str
    """What it found, in one or two sentences, with numbers."""
    trait: str | None = None
    category: str | None = None
    """What the trait is one of, e.g. `animal`."""
    chance: float | None = None
    """Probability of the trait's answer if all candidates were equally likely."""
    config: dict[str, object]
    """The resolved configuration."""
    config_digest: str
    inputs: dict[str, str]
    """SHA-256 of every input: models, traits."""
    seed: int
    arms: tuple[Arm, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    teachers: tuple[Teacher, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    filters: tuple[FilterScore, ...] = ()
    judge: JudgeRecord | None = None
    probes: tuple[ProbeChoice, ...] = ()
    """In which format each base, and all that was made from it, was asked."""
    notes: tuple[Note, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    curves: tuple[Curves, ...] = ()
    limits: tuple[str, ...] = ()
    """What this experiment cannot show."""


class RunDocument(Document, _Experiment):
    """The whole result of one experiment."""
