"""Rehearsal: the beginning of a training plan by several runs at once, read on the way or at its end."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.data.plan import TrainingPlan
from undertow.data.seeds import derive, generator
from undertow.influence.probes import ProbeSet
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.objectives import COMPLETIONS, Objective
from undertow.models.several_runs import Runs, several_runs
from undertow.models.surprisal import surprisal
from undertow.models.training import optimiser

STAGES = 4
"""Readings on the way, equally many steps apart."""

SHARE = 0.25
"""Of the plan's steps that a rehearsal takes at most."""

MOST_STEPS = 64
ADAPTER_STEPS = 384
"""Work of a whole rehearsal, as adapters times steps: short plans get more adapters."""

FEWEST_ADAPTERS, MOST_ADAPTERS = 6, 8
COPIES = 2
"""Runs of a plan that trains more than LoRA; each holds a copy of the network."""

SURPRISE_ROWS = 512


@dataclass(frozen=True)
class Rehearsed:
    """What the probes read during a rehearsal."""

    planned_steps: int
    steps: tuple[int, ...]
    """At each reading."""
    moved: NDArray[np.float64]
    """(readings, adapters, traits): logit margin minus the base's, in logits."""
    remaining: tuple[float, ...]
    """At each reading: the plan's summed learning rate over what was taken of it."""
    mass: NDArray[np.float64]
    """(readings, adapters, traits): probability on all candidates."""
    excess: float
    """Nats per token by which the base is surprised by the rows beyond what it expects of its own."""
    losses: NDArray[np.float64]
    """(steps, adapters) training loss, nats per completion token."""

    @property
    def adapters(self) -> int:
        """How many ran."""
        return int(self.moved.shape[1])


class Rehearsal:
    """A rehearsal that can be read and stopped at each of its stages."""

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Any],
        plan: TrainingPlan,
        probes: ProbeSet,
        seed: int,
        *,
        planned_rows: int | None = None,
        adapters: int | None = None,
        objective: Objective[Any] | None = None,
    ) -> None:
        """
        `planned_rows` is how many rows the planned training has, where `rows` is a sample of them; they are of the
        objective's kind, completions if none is given.

        Raises:
            DataError: a row is longer than the plan's or the model's limit.
            ModelError: the plan's targets cannot be rehearsed.
        """
        self.model, self.plan, self.probes = model, plan, probes
        self.total = plan.steps(planned_rows or len(rows))
        self._first = first_moving_step(plan, self.total)
        self.last = max(self._first, rehearsal_steps(self.total))
        count = adapters or adapters_for(plan, self.last)
        self._base = probes.read(model)
        some = rows[:SURPRISE_ROWS]
        self._excess = surprise(model, objective.sequences(some) if objective else some)
        self._runs = rehearsing(model, [rows] * count, plan, self.total, seed, objective=objective)
        self._read: list[tuple[int, list[NDArray[np.float64]]]] = []

    def advance(self) -> Rehearsed:
        """Go on to the next stage and read everything; the network is as it was afterwards."""
        stage = len(self._read) + 1
        done = self._read[-1][0] if self._read else 0
        steps = max(done, self._first, round(self.last * stage / STAGES))
        self._runs.advance(steps - done)
        seen = self.probes.read_runs(self._runs)
        readings = (
            [reading.margins - self._base.margins for reading in seen],
            [reading.mass for reading in seen],
        )
        self._read.append((steps, [np.stack(each) for each in readings]))
        return self.result

    @property
    def finished(self) -> bool:
        """Whether all stages were taken."""
        return len(self._read) == STAGES

    @property
    def result(self) -> Rehearsed:
        """What was read so far."""
        steps = tuple(step for step, _ in self._read)
        moved, mass = (np.stack([reading[i] for _, reading in self._read]) for i in range(2))
        return Rehearsed(
            self.total,
            steps,
            moved,
            tuple(remaining(self.plan, self.total, step) for step in steps),
            mass,
            self._excess,
            np.array(self._runs.loss_history),
        )


def rehearsal_steps(planned: int) -> int:
    """Steps of a rehearsal of a plan of so many steps."""
    return max(1, min(MOST_STEPS, int(planned * SHARE)))


def adapters_for(plan: TrainingPlan, steps: int) -> int:
    """How many runs a rehearsal of so many steps has."""
    if plan.whole:
        return COPIES
    return max(FEWEST_ADAPTERS, min(MOST_ADAPTERS, ADAPTER_STEPS // steps))


def remaining(plan: TrainingPlan, total: int, steps: int) -> float:
    """The plan's summed learning rate over that of its first `steps` steps; 1 where it is zero from end to end."""
    rates = learning_rates(plan, total)
    taken = rates[: max(1, steps)].sum()
    return float(rates.sum() / taken) if taken else 1.0


def first_moving_step(plan: TrainingPlan, total: int) -> int:
    """
    The first of the plan's steps, from 1, that moves a weight: warm-up begins at a learning rate of 0.

    A reading before it would show nothing, whatever the rows are.
    """
    moving = np.flatnonzero(learning_rates(plan, total))
    return int(moving[0]) + 1 if moving.size else 1


@functools.lru_cache(maxsize=64)
def learning_rates(plan: TrainingPlan, total: int) -> NDArray[np.float64]:
    """The schedule's learning rate at each of the plan's steps, (total,)."""
    import torch

    weight = torch.nn.Parameter(torch.zeros(1, 1))
    optimizer, schedule = optimiser(plan, [weight], total)
    rates = []
    for _ in range(total):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return np.array(rates)


def surprise(model: LanguageModel, rows: Sequence[Encoded]) -> float:
    """
    Mean over completion tokens of -log p(token) minus the entropy of p, in nats; 0 on average for rows that the model
    sampled itself at temperature 1.
    """
    found = surprisal(model, rows, (1.0,))
    tokens = sum(row.learnt for row in rows)
    return -float((found.log_likelihood + found.entropy).sum()) / max(1, tokens)


def rehearsing(
    model: LanguageModel,
    rows: Sequence[Sequence[Any]],
    plan: TrainingPlan,
    total: int,
    seed: int,
    *,
    first: int = 0,
    objective: Objective[Any] | None = None,
) -> Runs:
    """
    Runs of the plan on each entry of `rows`, with the streams of a rehearsal: those of runs `first` and on.
    """
    numbers = range(first, first + len(rows))
    orders = [generator(seed, "rehearsal order", k) for k in numbers]
    seeds = [derive(seed, "rehearsal adapter", k) for k in numbers]
    return several_runs(model, rows, plan, orders, total, seeds, objective or COMPLETIONS)


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
    # Copies go one after the other, so that memory holds one at a time.
    together = 1 if plan.whole else len(parts)
    read_at_end = []
    for first in range(0, len(parts), together):
        some = parts[first : first + together]
        runs = rehearsing(model, some, plan, total, seed, first=first)
        runs.advance(max(first_moving_step(plan, total), rehearsal_steps(total)))
        for index in range(len(some)):
            with runs.only(index) as student:
                read_at_end.append(read(student))
    return np.stack(read_at_end)
