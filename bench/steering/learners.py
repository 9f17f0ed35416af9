"""How students learn: AdamW by the product's own plan, or SGD with momentum, at one rank or with all weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from transformers import get_scheduler

from undertow.data.plan import TrainingPlan
from undertow.models.adapters import ParallelAdapters, parallel_adapters
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.several_runs import ParallelTraining, Runs, several_runs
from undertow.worlds.base_models import USUAL

MOMENTUM = 0.9


@dataclass(frozen=True)
class Learner:
    """One way to learn the same rows, once through, in the same order."""

    name: str
    optimiser: Literal["adamw", "sgd"] = "adamw"
    rate: float = USUAL.learning_rate
    rank: int | None = USUAL.rank
    """None: all weights."""
    clip: float | None = USUAL.max_grad_norm
    """The largest norm of a step's gradient."""

    @property
    def plan(self) -> TrainingPlan:
        """The usual one but for what the learner changes; the optimiser of SGD is put in beside it."""
        given: dict[str, Any] = {"learning_rate": self.rate, "max_grad_norm": self.clip}
        given |= {"method": "full"} if self.rank is None else {"rank": self.rank}
        return USUAL.model_copy(update=given)


class Descent(ParallelTraining):
    """Adapters side by side, as the plan has them, but by SGD with momentum, each at a rate of its own."""

    def __init__(
        self,
        adapters: ParallelAdapters,
        rows: Sequence[Sequence[Encoded]],
        plan: TrainingPlan,
        generators: Sequence[np.random.Generator],
        total: int,
        rates: Sequence[float],
    ) -> None:
        super().__init__(adapters, rows, plan, generators, total)
        groups = [
            {"params": adapters.parameters_of(index), "lr": rate}
            for index, rate in enumerate(rates)
        ]
        self._optimizer = torch.optim.SGD(groups, lr=plan.learning_rate, momentum=MOMENTUM)
        self._schedule = get_scheduler(plan.schedule, self._optimizer, plan.warmup(total), total)


def learned(
    model: LanguageModel,
    rows: Sequence[Sequence[Encoded]],
    learners: Sequence[Learner],
    adapter_seed: int,
    order: Iterator[np.random.Generator],
) -> Runs:
    """
    One student a dataset, by its learner; all share the adapter's first weights and, where `order` repeats itself, the
    order of rows.

    Learners must agree in all but the rates of SGD.
    """
    first = learners[0]
    total = first.plan.steps(len(rows[0]))
    orders = [next(order) for _ in rows]
    seeds = [adapter_seed] * len(rows)
    if first.optimiser == "adamw":
        runs = several_runs(model, rows, first.plan, orders, total, seeds)
    else:
        adapters = parallel_adapters(model, first.plan, seeds)
        rates = [learner.rate for learner in learners]
        runs = Descent(adapters, rows, first.plan, orders, total, rates)
    runs.advance(total)
    return runs
