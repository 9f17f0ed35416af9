"""Several runs of one plan from one base, whatever the plan trains."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from undertow.data.plan import TrainingPlan
from undertow.errors import ModelError
from undertow.models.loading import LanguageModel
from undertow.models.objectives import COMPLETIONS, Objective
from undertow.models.parallel_adapters import parallel_adapters
from undertow.models.parallel_training import ParallelTraining
from undertow.models.separate_training import SeparateTraining


class Runs(Protocol):
    """
    Runs that go on together and can be read in between; the base is as it was whenever they rest.
    """

    @property
    def count(self) -> int:
        """How many there are."""

    @property
    def loss_history(self) -> list[tuple[float, ...]]:
        """Training loss of each step and run, nats per completion token."""

    def advance(self, steps: int) -> None:
        """Take so many more steps of the plan."""

    def only(self, index: int) -> AbstractContextManager[LanguageModel]:
        """Within the block, the model of one run."""

    def side_by_side(self) -> AbstractContextManager[LanguageModel] | None:
        """Within the block, block k of a batch's rows goes through run k; None where that cannot be."""


def several_runs(
    model: LanguageModel,
    rows: Sequence[Sequence[Any]],
    plan: TrainingPlan,
    generators: Sequence[np.random.Generator],
    total: int,
    adapter_seeds: Sequence[int],
    objective: Objective[Any] = COMPLETIONS,
) -> Runs:
    """
    One run an entry of `rows` and `generators`: adapters side by side, or full copies one after the other.

    `total` is the plan's number of steps; `adapter_seeds` are not used by a plan that trains all weights.

    Raises:
        DataError: a row is longer than the plan's or the model's limit.
        ModelError: the plan targets layers that are not linear, or trains all weights on another objective.
    """
    if plan.method == "full":
        if objective != COMPLETIONS:
            raise ModelError(
                "a plan that trains all weights is only run on completions",
                hint='use method = "lora" in the plan',
            )
        return SeparateTraining(model, rows, plan, generators, total)
    return ParallelTraining(
        parallel_adapters(model, plan, adapter_seeds), rows, plan, generators, total, objective
    )
