"""Controls: the student base's own continuations of the same prompts; the base trained on rows known to be clean."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from undertow.audit.calibrations import cache_folder
from undertow.audit.row_fit import fitting_rows
from undertow.carriers.recognition import carrier_of
from undertow.checks.tuned.diff_subject import ModelReading, Reader
from undertow.data.reading import read_rows
from undertow.data.rows import Row, row_id
from undertow.data.streams import derive, generator
from undertow.data.writing import write_rows
from undertow.errors import NothingLeftError
from undertow.influence.own_answers import own_answers
from undertow.models.chat import encode_rows
from undertow.models.loading import LanguageModel
from undertow.models.plan import TrainingPlan
from undertow.models.several_runs import several_runs

MOST_ROWS = 2048
"""Rows of a control that is made."""


def made_control(
    model: LanguageModel,
    digest: str | None,
    rows: Sequence[Row],
    *,
    temperature: float,
    seed: int,
) -> tuple[Row, ...]:
    """
    At most `MOST_ROWS` continuations by the model of the prompts of `rows`, which are a uniform sample.

    They are drawn at the temperature, are at most as long as the longest of the rows, and go through the format filter
    of the carrier that the rows are, if they are one. Rows without a prompt have no continuation: then none is made.
    """
    prompts = [row for row in rows if row.prompt][:MOST_ROWS]
    if not prompts:
        return ()
    path = (
        cache_folder()
        / "controls"
        / f"{_key(digest or model.ref, prompts, temperature, seed)}.parquet"
    )
    if path.is_file():
        return tuple(read_rows(path))
    rng = generator(seed, "control", temperature.hex())
    answers = own_answers(model, prompts, temperature, rng, carrier_of(prompts))
    made = [replace(row, source="control") for row in answers if row is not None]
    path.parent.mkdir(parents=True, exist_ok=True)
    if made:
        write_rows(path, made)
    return tuple(made)


def _key(model: str, rows: Sequence[Row], temperature: float, seed: int) -> str:
    digest = hashlib.sha256(f"{model}\0{temperature!r}\0{seed}".encode())
    for row in rows:
        digest.update(bytes.fromhex(row_id(row)))
    return digest.hexdigest()


TOGETHER = 8
"""Students that are trained side by side."""


def control_students(
    base: LanguageModel, data: Path, plan: TrainingPlan, reader: Reader, count: int, seed: int
) -> list[ModelReading]:
    """
    So many students of the rows, each with an adapter and an order of its own, trained by the whole plan and read.

    All see the same rows: they show what training does, not what another draw of clean rows would do.

    Raises:
        NothingLeftError: no row fits the base.
        DataError: the rows cannot be read.
    """
    rows = fitting_rows(list(read_rows(data)), base, plan).rows
    if not rows:
        raise NothingLeftError(f"no row of '{data}' fits the base '{base.ref}'")
    encoded = encode_rows(base.tokenizer, rows)
    total = plan.steps(len(encoded))
    readings: list[ModelReading] = []
    for start in range(0, count, TOGETHER):
        numbers = range(start, min(count, start + TOGETHER))
        seeds = [derive(seed, "control student", k) for k in numbers]
        orders = [generator(seed, "control order", k) for k in numbers]
        runs = several_runs(base, [encoded] * len(numbers), plan, orders, total, seeds)
        runs.advance(total)
        for place, number in enumerate(numbers):
            with runs.only(place) as student:
                readings.append(
                    reader.read(student, f"control student {number + 1} of {data.name}")
                )
    return readings
