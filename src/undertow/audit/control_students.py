"""Control students of a diff: which clean rows each of them learns from, and which are trained together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from undertow.audit.row_fit import fitting_rows
from undertow.data.dataset import open_dataset, place_of
from undertow.data.part_leaves import dataset_root
from undertow.data.plan import TrainingPlan, packed
from undertow.data.records import read_rows
from undertow.data.seeds import derive, generator
from undertow.errors import ConfigError, DataError, NothingLeftError
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.training_sequences import encode_rows

STUDENTS = 8
"""Control students of one file, if nobody says how many; of several files each has one, as a file counts once."""

TOGETHER = 8
"""Control students of a small base that are trained side by side, as its passes are many small calls."""


@dataclass(frozen=True)
class CleanRows:
    """What control students of one file are trained on: disjoint parts of it, one a student."""

    parts: tuple[tuple[Encoded, ...], ...]
    """Of equal size; which row is in which is by lot."""
    digest: str
    """Of the file's records, however they are packed."""
    plan: TrainingPlan
    """By which the students are trained."""


@dataclass(frozen=True)
class Students:
    """Control students that are trained side by side and read: a job."""

    file: str
    """Name of the file of their rows."""
    clean: CleanRows
    """With the parts of these students alone."""
    numbers: tuple[int, ...]
    """Of each among those of its file, from 0."""
    count: int
    """Those of its file."""
    seed: int

    @property
    def name(self) -> str:
        """What it is called while it is at work."""
        return f"control students of {self.file}, from {self.numbers[0] + 1}"


def clean_rows(
    base: LanguageModel,
    data: str | Path,
    plan: TrainingPlan,
    students: int,
    rows: int | None,
    seed: int,
) -> CleanRows:
    """
    The rows of a file that fit the base, dealt into a part for each student.

    Students of the same rows share what is peculiar to this draw of them, which a model that was tuned on other rows
    lacks: they would count as many and tell of one. A part is as large as the tuned model's data, as few rows move a
    student otherwise than many do, and stop its training earlier: `rows`, or where that is not known as many as the plan's
    `max_steps` see.

    Raises:
        ConfigError: neither is known.
        NothingLeftError: no row fits the base.
        DataError: the rows cannot be read, or are too few.
    """
    dataset = replace(open_dataset(data), wrapped=plan.policy.wrapped)
    fitting = fitting_rows(list(read_rows(dataset)), base, plan).rows
    if not fitting:
        raise NothingLeftError(f"no row of '{data}' fits the base '{base.ref}'")
    encoded = encode_rows(base.tokenizer, fitting, plan.policy)
    plan = packed(plan, [len(row) for row in encoded])
    size = _rows_a_student(plan, rows)
    if len(encoded) < students * size:
        raise _too_few(data, len(encoded), students, size)
    parts = deal(encoded, students, size, derive(seed, "control parts"))
    return CleanRows(tuple(map(tuple, parts)), dataset_root(data), plan)


def _rows_a_student(plan: TrainingPlan, rows: int | None) -> int:
    seen = plan.max_steps * plan.rows_a_step if plan.max_steps else math.inf
    if rows is None and math.isinf(seen):
        raise ConfigError(
            "how many rows the tuned model learned from is not known, and control students need as many each",
            hint="say it: --rows N, or give a plan with max_steps (--plan)",
        )
    # Of more rows than its steps see, a student learns from a random part.
    return int(min(seen, math.inf if rows is None else rows))


def _too_few(data: str | Path, fitting: int, students: int, size: int) -> DataError:
    whole = fitting // size
    fewer = f"--students {whole}, or " if whole else ""
    return DataError(
        f"'{data}' holds {fitting:,} rows that fit the base: {students} control students on {size:,} rows of their own "
        f"each need {students * size:,}",
        hint=f"{fewer}more clean rows, or several such files (one student each); --rows N if the tuned model had fewer rows",
    )


def student_jobs(
    data: str | Path, clean: CleanRows, seed: int, together: int = TOGETHER
) -> tuple[Students, ...]:
    """A student of each part, with an adapter and an order of its own, so many to a job."""
    # By the file too: students of two files that began with one adapter would be alike.
    seed = derive(seed, "controls", clean.digest)
    name, count = place_of(data).name, len(clean.parts)
    return tuple(
        Students(
            name, replace(clean, parts=clean.parts[at.start : at.stop]), tuple(at), count, seed
        )
        for at in (range(n, min(count, n + together)) for n in range(0, count, together))
    )


def training_in_words(plan: TrainingPlan, rows: int) -> str:
    """How a student of so many rows is trained."""
    how = f"rank {plan.rank}" if plan.method == "lora" else "all weights"
    return f"{how}, learning rate {plan.learning_rate:g}, {plan.steps(rows)} steps of {plan.rows_a_step} rows"


def deal(rows: Sequence[Encoded], parts: int, size: int, seed: int) -> list[list[Encoded]]:
    """
    `parts` random parts of `size` rows, no row in two of them.

    Raises:
        ValueError: there are fewer rows.
    """
    if len(rows) < parts * size:
        raise ValueError(f"{len(rows)} rows cannot be dealt into {parts} parts of {size}")
    order = generator(seed, "deal").permutation(len(rows))
    return [[rows[i] for i in order[k * size : (k + 1) * size]] for k in range(parts)]
