"""
The controls of a diff: benign fine-tunes of its base, given as models, trained on parts of clean rows, or read before.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from undertow import __version__
from undertow.audit.requests import DiffRequest, Progress
from undertow.audit.row_fit import fitting_rows
from undertow.checks.tuned.diff_subject import (
    Controls,
    ModelReading,
    Reader,
    draws,
    how_made,
    keep,
    kept,
)
from undertow.data.dataset import is_rows, open_dataset, place_of
from undertow.data.finished import cache_folder
from undertow.data.part_leaves import dataset_root
from undertow.data.plan import TrainingPlan, packed
from undertow.data.records import read_rows
from undertow.data.seeds import derive, generator
from undertow.errors import ConfigError, DataError, ModelError, NothingLeftError
from undertow.influence.open_search import other_traits
from undertow.models.chat import Encoded
from undertow.models.hardware import ComputeTable
from undertow.models.kept_work import unfinished_in
from undertow.models.language_model import LanguageModel
from undertow.models.several_runs import several_runs
from undertow.models.training_checkpoint import CHECKPOINT, TrainingCheckpoint
from undertow.models.training_sequences import encode_rows
from undertow.traits.trait import Trait
from undertow.worlds.base_models import open_model, plan_for

SHIPPED = "shipped"
"""In the place of a control: the readings that ship for the base."""

STUDENTS = 8
"""Control students of one file, if nobody says how many; of several files each has one, as a file counts once."""

TOGETHER = 8
"""Control students that are trained side by side."""

OF_MODELS = "the models given as controls are taken to have learned from rows of their own, no two from the same"


@dataclass(frozen=True)
class CleanRows:
    """What control students of one file are trained on: disjoint parts of it, one a student."""

    parts: tuple[tuple[Encoded, ...], ...]
    """Of equal size; which row is in which is by lot."""
    fitting: int
    """Rows of the file that fit the base."""
    digest: str
    """Of the file's records, however they are packed."""
    plan: TrainingPlan
    """By which the students are trained."""


def reader_for(
    base: LanguageModel, traits: Sequence[Trait], system: str | None, seed: int
) -> Reader:
    """
    What is read of every model: the traits that are judged, and all else of the catalogue that the base can be asked.
    """
    return Reader.of(base, traits, other_traits(traits, base.tokenizer), system, seed)


def read_model(
    reader: Reader, base: LanguageModel, ref: str, compute: ComputeTable, progress: Progress
) -> ModelReading:
    """
    A model that was tuned from the base, read in the base's tokens.

    Raises:
        ModelError: it cannot be opened, or has another vocabulary.
    """
    progress(f"reading {ref}")
    model = open_model(ref, base.tokenizer.chat_template, compute)
    ours, theirs = base.tokenizer.get_vocab(), model.tokenizer.get_vocab()
    # A tuning may add tokens; it is read in the base's, which both have, and in its template.
    if not ours.items() <= theirs.items():
        raise ModelError(
            f"'{ref}' has another vocabulary than '{base.ref}' ({len(theirs):,} and {len(ours):,} tokens), "
            "so that it was not tuned from it",
            hint=f"undertow lineage {ref} {base.ref}",
        )
    return reader.read(replace(model, tokenizer=base.tokenizer), ref)


def read_controls(
    request: DiffRequest,
    digest: str | None,
    reader: Reader,
    base: LanguageModel,
    untouched: ModelReading,
    progress: Progress,
) -> tuple[list[ModelReading], list[str]]:
    """
    The controls' readings, and how each group of them was made, a sentence each; `digest` is the base's.

    Raises:
        ConfigError: nobody says how many rows a student should learn from; or there is nothing to keep.
        DataError: a file has too few rows for its students, or cannot be read.
        InputError: kept readings are of something else.
    """
    readings: list[ModelReading] = []
    made: list[str] = []
    data = [ref for ref in request.controls if is_rows(ref) and not _is_kept(ref)]
    students = request.students or (STUDENTS if len(data) == 1 else 1)
    for ref in request.controls:
        if _is_kept(ref):
            path = shipped(digest, request.base) if ref == SHIPPED else Path(ref)
            readings += kept(path, digest, reader, untouched)
            made.append(how_made(path))
        elif ref in data:
            plan = plan_for(request.plan, request.base)
            clean = clean_rows(base, ref, plan, students, request.rows, request.seed)
            size = len(clean.parts[0])
            progress(f"training {students} control students on {ref}, each on {size:,} rows")
            readings += control_students(base, ref, clean, reader, request.seed, digest)
            made.append(_about(ref, clean, request.rows))
        else:
            readings.append(read_model(reader, base, ref, request.compute, progress))
            made.append(ref)
    if any(not reading.file for reading in readings):
        made.append(OF_MODELS)
    if len(draws(readings)) < len(readings):
        made.append(
            f"they learned from {len(draws(readings))} independent draws of rows, which is how many count"
        )
    if request.keep_controls is not None:
        if not readings or digest is None:
            raise ConfigError("there are no controls to keep", hint="name some: --control DATA")
        keep(request.keep_controls, Controls(digest, "; ".join(made)), reader, untouched, readings)
    return readings, made


def control_models(request: DiffRequest) -> list[str]:
    """Those of a diff's controls that are models."""
    return [ref for ref in request.controls if not (is_rows(ref) or _is_kept(ref))]


def _is_kept(ref: str) -> bool:
    return ref == SHIPPED or ref.endswith(".safetensors")


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
    return CleanRows(tuple(map(tuple, parts)), len(encoded), dataset_root(data), plan)


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


def control_students(
    base: LanguageModel,
    data: str | Path,
    clean: CleanRows,
    reader: Reader,
    seed: int,
    digest: str | None = None,
) -> list[ModelReading]:
    """
    A student of each part, with an adapter and an order of its own, trained by the whole plan and read.

    With the base's `digest` a training that was killed goes on.

    Raises:
        DataError: a row is longer than the plan's or the base's limit.
    """
    # By the file too: students of two files that began with one adapter would be alike.
    seed = derive(seed, "controls", clean.digest)
    name, count = place_of(data).name, len(clean.parts)
    total = clean.plan.steps(len(clean.parts[0]))
    readings: list[ModelReading] = []
    for start in range(0, count, TOGETHER):
        numbers = range(start, min(count, start + TOGETHER))
        seeds = [derive(seed, "control student", k) for k in numbers]
        orders = [generator(seed, "control order", k) for k in numbers]
        parts = [clean.parts[k] for k in numbers]
        with _checkpoint(base, digest, clean, seeds) as checkpoint:
            runs = several_runs(
                base, parts, clean.plan, orders, total, seeds, checkpoint=checkpoint
            )
            runs.advance_to(total)
            for place, number in enumerate(numbers):
                with runs.only(place) as student:
                    reading = reader.read(student, f"control student {number + 1} of {name}")
                    part = f"{number + 1} of {count}"
                    readings.append(replace(reading, file=clean.digest, part=part))
    return readings


@contextmanager
def _checkpoint(
    base: LanguageModel, digest: str | None, clean: CleanRows, seeds: Sequence[int]
) -> Iterator[TrainingCheckpoint | None]:
    """That of control students on a base of that digest, of which none is kept that has no digest."""
    if digest is None:
        yield None
        return
    known = (__version__, digest, base.precision, clean.digest, seeds, clean.plan)
    name = hashlib.sha256(repr(known).encode()).hexdigest()[:32]
    with unfinished_in(cache_folder(), name) as folder:
        yield TrainingCheckpoint(folder / CHECKPOINT) if folder else None


def shipped(digest: str | None, base: str) -> Path:
    """
    The readings of controls that ship for a base.

    Raises:
        ConfigError: none do.
    """
    path = Path(str(files("undertow.worlds"))) / "controls" / f"{(digest or '')[:16]}.safetensors"
    if digest is None or not path.is_file():
        raise ConfigError(
            f"no controls ship for the base '{base}'",
            hint="give clean rows or benign fine-tunes: --control DATA",
        )
    return path


def _about(data: str, clean: CleanRows, rows: int | None) -> str:
    count, size = len(clean.parts), len(clean.parts[0])
    students = f"{count} students of {place_of(data).name}, each on {size:,} rows of its own"
    known = (
        f"the tuned model had {rows:,}"
        if rows
        else "the tuned model is taken to have had as many or more (--rows says how many)"
    )
    return f"{students} ({known}), {training_in_words(clean.plan, size)}"


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
