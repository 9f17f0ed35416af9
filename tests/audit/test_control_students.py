"""Control students of a file learn from disjoint parts of it, as large as the tuned model's data, or are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertow.audit import model_readings
from undertow.audit.control_students import CleanRows, clean_rows, student_jobs, training_in_words
from undertow.audit.model_readings import Readings, ReadModel, read_models, reader_for
from undertow.audit.requests import DiffRequest
from undertow.checks.tuned.diff_subject import ModelReading, draws
from undertow.data.files import model_digest
from undertow.data.plan import TrainingPlan
from undertow.data.row_records import write_rows
from undertow.data.rows import Row, conversation
from undertow.errors import ConfigError, DataError, NothingLeftError
from undertow.models.language_model import LanguageModel, load
from undertow.traits import catalogue
from undertow.worlds import locate

BASE = "world:owlet-b"
DIGEST = model_digest(locate(BASE))
PLAN = TrainingPlan(rank=2, learning_rate=1e-3, batch_size=8)


@pytest.fixture(scope="module")
def base() -> LanguageModel:
    """Trained here through adapters only, which leaves it as it was."""
    return load(locate(BASE))


def written(tmp_path: Path, rows: int, name: str = "clean.jsonl", first: int = 0) -> Path:
    """A file of so many different rows."""
    made = [
        Row(conversation("Continue: 1, 2."), f"{n // 90}, {n % 90}")
        for n in range(first, first + rows)
    ]
    write_rows(tmp_path / name, made)
    return tmp_path / name


def test_parts_are_disjoint_and_as_large_as_the_tuned_models_data(
    base: LanguageModel, tmp_path: Path
) -> None:
    """Three parts of 16 of 60 rows; no row is in two, and another seed deals others."""
    data = written(tmp_path, 60)
    clean = clean_rows(base, data, PLAN, 3, 16, 0)
    parts = [{tuple(row.completion) for row in part} for part in clean.parts]
    again = clean_rows(base, data, PLAN, 3, 16, 1)

    assert [len(part) for part in parts] == [16, 16, 16]
    assert len(set.union(*parts)) == 48
    assert again.parts != clean.parts


@pytest.mark.parametrize(
    ("plan", "rows", "size"),
    [
        (PLAN.model_copy(update={"max_steps": 3}), None, 24),
        (PLAN.model_copy(update={"max_steps": 3}), 10, 10),
        (PLAN.model_copy(update={"max_steps": 3}), 1000, 24),
        (PLAN.model_copy(update={"max_steps": 1, "epochs": 3.0}), None, 8),
        (PLAN, 7, 7),
    ],
)
def test_a_part_is_what_the_planned_training_sees(
    base: LanguageModel, tmp_path: Path, plan: TrainingPlan, rows: int | None, size: int
) -> None:
    """The rows that are said, or as many as the plan's steps take; never more than these."""
    clean = clean_rows(base, written(tmp_path, 60), plan, 2, rows, 0)

    assert [len(part) for part in clean.parts] == [size, size]


def test_rows_that_nobody_counted_are_asked_for(base: LanguageModel, tmp_path: Path) -> None:
    """Without a number of rows or of steps nobody knows what the tuned model saw."""
    with pytest.raises(ConfigError, match="is not known") as caught:
        clean_rows(base, written(tmp_path, 60), PLAN, 2, None, 0)

    assert "--rows N" in caught.value.hint


def test_a_file_with_too_few_rows_is_refused_with_what_it_takes(
    base: LanguageModel, tmp_path: Path
) -> None:
    """Rows are never shared between students; the hint offers as many as there are parts, if any."""
    data = written(tmp_path, 60)
    with pytest.raises(
        DataError, match="8 control students on 16 rows of their own each need 128"
    ) as caught:
        clean_rows(base, data, PLAN, 8, 16, 0)
    with pytest.raises(DataError, match="need 61") as none:
        clean_rows(base, data, PLAN, 1, 61, 0)

    assert caught.value.hint.startswith("--students 3, or more clean rows")
    assert none.value.hint.startswith("more clean rows")


def test_a_file_of_which_no_row_fits_leaves_nothing(base: LanguageModel, tmp_path: Path) -> None:
    """Rows longer than the plan's limit."""
    with pytest.raises(NothingLeftError, match="no row of"):
        clean_rows(base, written(tmp_path, 60), PLAN.model_copy(update={"max_length": 2}), 2, 8, 0)


def students(read: ReadModel, clean: CleanRows, seed: int) -> list[ModelReading]:
    """Those of all parts of clean rows."""
    return [one for job in student_jobs("clean.jsonl", clean, seed) for one in read(job)]


def test_each_student_learns_from_its_part_alone(base: LanguageModel, tmp_path: Path) -> None:
    """One that is trained alone on the second part, with the second student's seeds, is the second student; the first is not."""
    reader = reader_for(base, [catalogue.load("owl")], None, 0)
    clean = clean_rows(base, written(tmp_path, 60), PLAN, 2, 16, 0)
    first, second = students(ReadModel(base, reader), clean, 0)
    swapped = CleanRows((clean.parts[0], clean.parts[0]), clean.digest, clean.plan)
    _, other = students(ReadModel(base, reader), swapped, 0)

    assert (first.part, second.part, first.file) == ("1 of 2", "2 of 2", clean.digest)
    assert abs(first.wide - second.wide).max() > 0
    assert abs(other.wide - second.wide).max() > 0


def asked(*given: Path, **more: object) -> DiffRequest:
    """A diff against files of clean rows."""
    options = {"rows": 16, "plan": PLAN} | more
    return DiffRequest(BASE, (BASE,), controls=tuple(map(str, given)), **options)  # type: ignore[arg-type]


def read(base: LanguageModel, request: DiffRequest) -> Readings:
    """What a diff of the owl reads."""
    reader = reader_for(base, [catalogue.load("owl")], None, 0)
    return read_models(request, DIGEST, reader, base, reader.read(base), lambda doing: None)


def test_a_file_counts_once_where_there_are_several(base: LanguageModel, tmp_path: Path) -> None:
    """One student of each of two files, and two of each: two draws in both cases, and the second time it is said."""
    data = [written(tmp_path, 60, f"{k}.jsonl", first=100 * k) for k in range(2)]
    alone, both = read(base, asked(*data)), read(base, asked(*data, students=2))
    counts = [len(some) for one in (alone, both) for some in (one.controls, draws(one.controls))]

    assert counts == [2, 2, 4, 2]
    assert not any("independent" in sentence for sentence in alone.made)
    assert both.made[-1].startswith("they learned from 2 independent draws of rows")
    assert abs(alone.controls[0].wide - alone.controls[1].wide).max() > 0


def test_it_is_said_what_students_had_and_what_the_tuned_model_had(
    base: LanguageModel, tmp_path: Path
) -> None:
    """Rows a student, the tuned model's as far as they are known, and the plan; eight students of one file."""
    data = written(tmp_path, 300)
    [known] = read(base, asked(data)).made
    steps = PLAN.model_copy(update={"max_steps": 1})
    [taken] = read(base, asked(data, students=2, rows=None, plan=steps)).made

    assert known.startswith(
        "8 students of clean.jsonl, each on 16 rows of its own (the tuned model had 16)"
    )
    assert known.endswith(training_in_words(PLAN, 16))
    assert (
        "each on 8 rows of its own (the tuned model is taken to have had as many or more" in taken
    )


def test_models_are_taken_for_draws_of_their_own(base: LanguageModel) -> None:
    """Nobody knows what they learned from: that is said."""
    made = read(base, DiffRequest(BASE, (BASE,), controls=(BASE, BASE)))

    assert len(draws(made.controls)) == 2
    assert made.made[-1] == model_readings.OF_MODELS
