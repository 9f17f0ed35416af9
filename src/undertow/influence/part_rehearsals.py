"""
Rehearsals on parts of the rows: one fresh run of a plan's first steps on each part, read once at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.data.seeds import generator
from undertow.influence.rehearsal import rehearsal_steps, rehearsing

if TYPE_CHECKING:
    from undertow.data.plan import TrainingPlan
    from undertow.models.chat import Encoded
    from undertow.models.loading import LanguageModel


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


def rehearse_parts(
    model: LanguageModel,
    parts: Sequence[Sequence[Encoded]],
    plan: TrainingPlan,
    planned_rows: int,
    read: Callable[[LanguageModel], NDArray[np.float64]],
    seed: int,
) -> NDArray[np.float64]:
    """
    What `read` gives at the end of a rehearsal on each part, (parts, ...); the model is as it was afterwards.

    Runs on parts of their own are independent draws of the rows as well as of the adapter, so that rehearsals of two
    sources of rows can be compared by a test over runs. Parts must be of one size.

    Raises:
        DataError: a row is longer than the plan's or the model's limit.
        ModelError: the plan's targets cannot be rehearsed.
    """
    total = plan.steps(planned_rows)
    # Full copies go one after the other, so that memory holds one at a time.
    together = 1 if plan.method == "full" else len(parts)
    found = []
    for first in range(0, len(parts), together):
        some = parts[first : first + together]
        runs = rehearsing(model, some, plan, total, seed, first=first)
        runs.advance(rehearsal_steps(total))
        for index in range(len(some)):
            with runs.only(index) as student:
                found.append(read(student))
    return np.stack(found)
