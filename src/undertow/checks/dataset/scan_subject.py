"""The subject of a screen: rows, the student that would be trained on them, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from undertow.data.rows import Row, has_pairs
from undertow.results.model_documents import CalibrationTable
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.data.plan import TrainingPlan
    from undertow.models.chat import Encoded
    from undertow.models.language_model import LanguageModel


@dataclass(frozen=True)
class ScanSettings:
    """What a user says of the rows and asks of the checks: the same for every subject of a scan."""

    temperature: float = 1.0
    """At which the rows are said to have been sampled."""
    acceptance: float = 1.0
    """Share of the base's own answers that the filter of the rows keeps, as it was declared."""
    beta: float = 0.1
    """Of DPO, for preference pairs."""
    limit: float = 0.2
    """In logits of transfer: what a verdict compares with, and a rehearsal stops for when it is certain."""
    level: float = 0.95
    """Of the checks' intervals and, as 1 - level, of their tests."""

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Temperatures at which a clean base may have written the rows."""
        return tuple(dict.fromkeys((1.0, self.temperature)))


@dataclass(frozen=True)
class Coverage:
    """Whether a calibration says what readings of a rehearsal are worth."""

    table: CalibrationTable | None = None
    """Of the subject's base and plan, where there is one that covers the plan's steps."""
    why_not: str = "no calibration of this base"
    """Where there is none."""


@dataclass(frozen=True)
class ScanSubject:
    """What a check is asked about. Checks read it and leave its models as they found them."""

    name: str
    """`all`, or the name of a source."""

    rows: tuple[Row, ...]
    """A uniform sample of the usable rows; each fits into the student's context."""

    student: LanguageModel
    """The base that is going to be trained."""

    plan: TrainingPlan
    planned_rows: int
    """Rows that the planned training has: all usable ones of the file, of which `rows` is a sample."""

    traits: tuple[Trait, ...]
    """What is probed."""

    seed: int
    """Of this subject; every stream is derived from it by purpose (`data.streams.generator`)."""

    settings: ScanSettings = ScanSettings()

    coverage: Coverage = Coverage()
    """Asked once, when the subject is opened."""

    system_prompt: str | None = None
    """Chat context of the probes: that of the rows."""

    control: tuple[Row, ...] = ()
    """Rows known to be clean, or the student base's own continuations of the same prompts; may be empty."""

    placebos: tuple[LanguageModel, ...] = ()
    """Benign fine-tunes of the base that may have written the rows as well: they widen the null of authorship."""

    teacher: LanguageModel | None = None
    """Of the same architecture and vocabulary, where its weights are given."""

    candidates: tuple[LanguageModel, ...] = ()
    """Other bases that may have written the rows."""

    @property
    def pairs(self) -> bool:
        """Whether any row is a preference pair."""
        return has_pairs(self.rows)

    @property
    def longest(self) -> int | None:
        """Tokens that a row may have; None without a limit."""
        limits = (self.plan.max_length, self.student.context)
        return min((limit for limit in limits if limit is not None), default=None)

    @cached_property
    def encoded(self) -> Sequence[Encoded]:
        """The rows as the student's tokens."""
        from undertow.models.chat import encode_rows

        return encode_rows(self.student.tokenizer, self.rows)

    @cached_property
    def encoded_control(self) -> Sequence[Encoded]:
        """The control as the student's tokens."""
        from undertow.models.chat import encode_rows

        return encode_rows(self.student.tokenizer, self.control)
