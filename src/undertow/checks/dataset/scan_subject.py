"""What a check of a dataset is asked about: rows and their control, the student that would be trained on them, and how both are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from undertow.data.plan import LAST_TURN
from undertow.data.rows import Row, has_pairs
from undertow.data.seeds import generator
from undertow.engines.engine import Engine, InProcess
from undertow.stats.arguments import Vector
from undertow.stats.exact_tests import sign_flip
from undertow.stats.interval import TestResult
from undertow.traits.trait import Trait

if TYPE_CHECKING:
    from undertow.data.plan import TrainingPlan
    from undertow.influence.reference_family import ReferenceFamily
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
class ReferenceSettings:
    """What a subject is judged against, and how much may be made of it."""

    family: ReferenceFamily
    base_digest: str | None = None
    """Of the student; None of a model that has none, whose references are kept nowhere."""
    count: int = 19
    """References of the beginning of the plan."""
    whole_count: int = 8
    """Fresh references that are trained by the whole plan."""
    subjects: int = 1
    """That are judged together: the file and its sources."""
    given: tuple[tuple[Row, ...], ...] = ()
    """Benign datasets that were given: each is a reference, and comes before those that are made."""
    steps: int | None = None
    """Of the beginning, where a budget shortens it."""
    kept: Path | None = None
    """Where references are kept; None for nowhere."""
    tell: Callable[[str], None] = lambda doing: None
    engine: Engine = field(default_factory=InProcess)
    """Makes the references."""
    opens: Callable[[], LanguageModel] | None = None
    """How the engine's other processes come to the student."""


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

    references: ReferenceSettings | None = None
    """What it is judged against; None where transfer is not judged."""

    all_rows: Callable[[], tuple[Row, ...]] | None = None
    """Every usable row, where `rows` is a sample of them; a rehearsal of the whole plan trains on all."""

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

    def with_tokens(self, encoded: Sequence[Encoded], **changes: Any) -> ScanSubject:
        """The subject with changes that leave its rows, student and plan; their tokens are known and not made again."""
        made = replace(self, **changes)
        made.__dict__["encoded"] = encoded
        if "answers" in self.__dict__:
            made.__dict__["answers"] = self.answers
        return made

    @property
    def pairs(self) -> bool:
        """Whether any row is a preference pair."""
        return has_pairs(self.rows)

    @cached_property
    def with_answers(self) -> ScanSubject:
        """The same with the rows that end with an answer: what a model wrote is asked of these alone."""
        rows = tuple(row for row in self.rows if row.answered)
        return self if len(rows) == len(self.rows) else replace(self, rows=rows)

    @property
    def trained(self) -> LanguageModel:
        """The student as the plan trains it and as it is asked then: in the plan's chat template."""
        return self.student.in_template(self.plan.template)

    @cached_property
    def encoded(self) -> Sequence[Encoded]:
        """The rows as the plan trains them: the student's tokens, and which of them have a loss."""
        from undertow.models.training_sequences import encode_rows

        return encode_rows(self.student.tokenizer, self.rows, self.plan.policy)

    @cached_property
    def answers(self) -> Sequence[Encoded]:
        """The rows up to their last answer, which has the loss: what a model wrote, whatever is trained on it."""
        from undertow.models.training_sequences import encode_rows, learns_last_turns

        if learns_last_turns(self.rows, self.plan.policy):
            return self.encoded
        return encode_rows(self.student.tokenizer, self.rows, LAST_TURN)

    @cached_property
    def control_answers(self) -> Sequence[Encoded]:
        """The control up to its last answers."""
        from undertow.models.training_sequences import encode_rows

        return encode_rows(self.student.tokenizer, self.control, LAST_TURN)


BLOCKS = 16
"""Disjoint blocks of rows: 2^15 sign patterns can be enumerated, and 15 degrees of freedom cost little power."""

MOST_ROWS = 2_048
"""Rows, and rows of the control, that are looked at."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class RowsAndControl:
    """The rows and the control rows that a check compares, in random order."""

    rows: tuple[Encoded, ...]
    control: tuple[Encoded, ...]
    matched: bool
    """Whether row i of both continues the same prompt."""

    @property
    def n(self) -> str:
        """What a comparison rests on, in words."""
        return sizes(len(self.rows), len(self.control), together=self.matched)


def compared(subject: ScanSubject, purpose: str, *, most: int = MOST_ROWS) -> RowsAndControl:
    """
    At most `most` rows and rows of the control, drawn uniformly; pairs where the two share their prompts row by row.

    Rows without any completion token are left out.
    """
    rng = generator(subject.seed, purpose, "rows")
    rows, control = subject.answers, subject.control_answers
    if matched(rows, control):
        chosen = [i for i in _drawn(rows, rng, len(rows)) if control[i].completion][:most]
        return RowsAndControl(
            tuple(rows[i] for i in chosen), tuple(control[i] for i in chosen), True
        )
    return RowsAndControl(
        tuple(rows[i] for i in _drawn(rows, rng, most)),
        tuple(control[i] for i in _drawn(control, rng, most)),
        False,
    )


def _drawn(rows: Sequence[Encoded], rng: np.random.Generator, most: int) -> list[int]:
    order = rng.permutation(len(rows))
    return [int(i) for i in order if rows[i].completion][:most]


def matched(rows: Sequence[Encoded], control: Sequence[Encoded]) -> bool:
    """Whether row i of the control continues the prompt of row i, for every row."""
    return len(rows) == len(control) and all(
        one.prompt == other.prompt for one, other in zip(rows, control, strict=True)
    )


def sizes(rows: int, control: int | None, *, together: bool) -> str:
    """What a comparison of so many rows with so many of the control rests on, in words."""
    if control is None:
        return f"{rows} rows"
    return f"{rows} pairs of rows" if together else f"{rows} rows v {control} of the control"


def too_few(pair: RowsAndControl, *, control_needed: bool = True) -> str:
    """Why there is nothing to compare; empty where there is."""
    if len(pair.rows) < BLOCKS:
        return f"{len(pair.rows)} rows are too few: at least {BLOCKS} are needed"
    if control_needed and not pair.control:
        return "there is no control to compare the rows with"
    if control_needed and len(pair.control) < BLOCKS:
        return f"{len(pair.control)} rows of control are too few: at least {BLOCKS} are needed"
    return ""


def blocks(count: int) -> list[Indices]:
    """The indices 0 to count - 1 in `BLOCKS` consecutive blocks whose sizes differ by at most 1."""
    return np.array_split(np.arange(count, dtype=np.int64), BLOCKS)


def block_ratios(numerator: Vector, denominator: Vector) -> Vector:
    """Sum of the numerator over sum of the denominator within each block, both of shape (rows,); shape (blocks,)."""
    parts = blocks(len(numerator))
    return np.array([numerator[part].sum() / denominator[part].sum() for part in parts])


def block_test(rows: Vector, control: Vector, level: float) -> TestResult:
    """
    Exact two-sided sign-flip test of the blocks' mean difference, block i of the rows against block i of the control.

    Where rows and control come from one distribution, a pair's difference is as likely to have either sign, whatever its
    shape; matched prompts lie in the same pair of blocks and cancel.
    """
    return sign_flip(rows - control, level=level)


def token_names(tokenizer: Any, ids: Iterable[int]) -> list[str]:
    """Each token's text, quoted and escaped, with its id: parts of one character are shown alike."""
    return [f"token {tokenizer.decode([i])!r} (id {i})" for i in ids]
