"""
Rehearsals on parts of the rows: one fresh run of a plan's first steps on each part, read once at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.data.streams import derive, generator
from undertow.influence.rehearsal import rehearsal_steps

if TYPE_CHECKING:
    from undertow.models.chat import Encoded
    from undertow.models.loading import LanguageModel
    from undertow.models.plan import TrainingPlan


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
    trained = _copies if plan.method == "full" else _adapters
    return np.stack([read(each) for each in trained(model, parts, plan, total, seed)])


def _adapters(
    model: LanguageModel,
    parts: Sequence[Sequence[Encoded]],
    plan: TrainingPlan,
    total: int,
    seed: int,
) -> Iterator[LanguageModel]:
    from undertow.models.parallel_adapters import parallel_adapters
    from undertow.models.parallel_training import ParallelTraining

    seeds = [derive(seed, "rehearsal adapter", k) for k in range(len(parts))]
    orders = [generator(seed, "rehearsal order", k) for k in range(len(parts))]
    runs = ParallelTraining(parallel_adapters(model, plan, seeds), parts, plan, orders, total)
    runs.advance(rehearsal_steps(total))
    for k in range(len(parts)):
        with runs.only(k) as student:
            yield student


def _copies(
    model: LanguageModel,
    parts: Sequence[Sequence[Encoded]],
    plan: TrainingPlan,
    total: int,
    seed: int,
) -> Iterator[LanguageModel]:
    from undertow.models.separate_training import SeparateTraining

    # One after the other, so that memory holds one copy at a time.
    for k, part in enumerate(parts):
        order = generator(seed, "rehearsal order", k)
        run = SeparateTraining(model, [part], plan, [order], total)
        run.advance(rehearsal_steps(total))
        with run.only(0) as student:
            yield student
