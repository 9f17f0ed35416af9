"""Control students: the base trained by a plan on rows known to be clean, read and thrown away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from undertow.checks.fitting import fitting
from undertow.data.reading import read_rows
from undertow.data.streams import derive, generator
from undertow.errors import NothingLeftError

if TYPE_CHECKING:
    from undertow.checks.tuned.reading import Reader, Reading
    from undertow.models.loading import LanguageModel
    from undertow.models.plan import TrainingPlan

TOGETHER = 8
"""Students that are trained side by side."""


def control_students(
    base: LanguageModel, data: Path, plan: TrainingPlan, reader: Reader, count: int, seed: int
) -> list[Reading]:
    """
    So many students of the rows, each with an adapter and an order of its own, trained by the whole plan and read.

    All see the same rows: they show what training does, not what another draw of clean rows would do.

    Raises:
        NothingLeftError: no row fits the base.
        DataError: the rows cannot be read.
    """
    from undertow.models.chat import encode_rows
    from undertow.models.several_runs import several_runs

    rows = fitting(list(read_rows(data)), base, plan).rows
    if not rows:
        raise NothingLeftError(f"no row of '{data}' fits the base '{base.ref}'")
    encoded = encode_rows(base.tokenizer, rows)
    total = plan.steps(len(encoded))
    found: list[Reading] = []
    for start in range(0, count, TOGETHER):
        numbers = range(start, min(count, start + TOGETHER))
        seeds = [derive(seed, "control student", k) for k in numbers]
        orders = [generator(seed, "control order", k) for k in numbers]
        runs = several_runs(base, [encoded] * len(numbers), plan, orders, total, seeds)
        runs.advance(total)
        for place, number in enumerate(numbers):
            with runs.only(place) as student:
                found.append(reader.read(student, f"control student {number + 1} of {data.name}"))
    return found
