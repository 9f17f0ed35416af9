"""Several runs of one plan from one base: adapters trained side by side, or copies one after the other."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from undertow.data.plan import TrainingPlan
from undertow.engines.work_progress import counted
from undertow.errors import ModelError, UndertowError
from undertow.models.adapters import (
    ParallelAdapters,
    frozen,
    parallel_adapters,
    trainable,
    trained_weights,
)
from undertow.models.batch_memory import UNLIMITED, TrainingRoom, training_room, whole_step
from undertow.models.chat import Batch, Encoded, pad
from undertow.models.language_model import LanguageModel
from undertow.models.objectives import COMPLETIONS, Objective
from undertow.models.recorded_passes import TrainingPasses
from undertow.models.scoring import token_log_likelihoods
from undertow.models.shared_prefix import training_beginning
from undertow.models.training import (
    RandomStream,
    TrainingRun,
    optimiser,
    training_rows,
)
from undertow.models.training_attention import training_attention
from undertow.models.training_checkpoint import LiveTraining, TrainingCheckpoint, training_subject
from undertow.models.training_sequences import refuse_long


class Runs(Protocol):
    """Runs that go on together and can be read in between; the base is as it was whenever they rest."""

    @property
    def count(self) -> int:
        """How many there are."""

    @property
    def done(self) -> int:
        """Steps that the run has taken that took most: as many as all others, but for a kill between them."""

    def advance(self, steps: int) -> None:
        """Take so many more steps of the plan."""

    def advance_to(self, step: int) -> None:
        """Take the plan's steps up to this one, of which some may be taken already."""

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
    checkpoint: TrainingCheckpoint | None = None,
) -> Runs:
    """
    One run an entry of `rows` and `generators`: adapters side by side, or copies of the network one after the other,
    where more than LoRA is trained.

    `total` is the plan's number of steps; `adapter_seeds` are not used by a plan that trains all weights. With a
    `checkpoint` the runs go on where they were killed.

    Raises:
        DataError: a row is longer than the plan's or the model's limit.
        ModelError: the plan targets layers that are not linear, or runs on copies, but with another objective.
    """
    if plan.whole:
        if model.spread:
            raise ModelError(
                f"the plan trains {plan.whole} of '{model.ref}', whose weights are {model.spread}; allowed: LoRA",
                hint='use method = "lora" without dora and modules_to_save, or leave --quantise and --shard out',
            )
        if objective != COMPLETIONS:
            raise ModelError(
                f"a plan that trains {plan.whole} is only run on completions",
                hint='use method = "lora" without dora and modules_to_save in the plan',
            )
        return SeparateTraining(model, rows, plan, generators, total, adapter_seeds, checkpoint)
    adapters = parallel_adapters(model, plan, adapter_seeds)
    return ParallelTraining(adapters, rows, plan, generators, total, objective, checkpoint)


class ParallelTraining:
    """
    One run of a plan for each adapter.

    Adapter k is trained exactly as `training.fine_tune` would train it alone with the k-th generator, but for dropout,
    which draws for all adapters from one stream.
    """

    def __init__(
        self,
        adapters: ParallelAdapters,
        rows: Sequence[Sequence[Any]],
        plan: TrainingPlan,
        generators: Sequence[np.random.Generator],
        total: int,
        objective: Objective[Any] = COMPLETIONS,
        checkpoint: TrainingCheckpoint | None = None,
    ) -> None:
        """
        `rows` (of the objective's kind) and `generators` hold one entry an adapter; `total` is the plan's number of steps, which its schedule
        of learning rates is laid over, however early the training is stopped.

        Raises:
            DataError: a row is longer than the plan's or the model's limit.
        """
        self.adapters, self.plan, self.total, self.done = adapters, plan, total, 0
        self.loss_history: list[tuple[float, ...]] = []
        """Training loss of each step and adapter, nats per completion token."""
        self._objective = objective
        self._room: TrainingRoom | None = None
        self._tried = 1, 1
        """Rows of each run, and tokens of one, in the passes at hand."""
        self._longest = max((len(row) for own in rows for row in own), default=1)
        distinct = {id(part): part for part in rows}.values()
        sequences = [objective.sequences(own) for own in distinct]
        for each in sequences:
            refuse_long(adapters.model, each, plan)
        together = [one for each in sequences for one in each]
        self._beginning = training_beginning(adapters.model, together, plan)
        self._weights = [adapters.parameters_of(k) for k in range(adapters.count)]
        everything = [weight for own in self._weights for weight in own]
        self._passes = TrainingPasses.of(adapters.model, everything, plan)
        self._optimizer, self._schedule = optimiser(plan, everything, total)
        self._checkpoint = checkpoint
        self._subject = training_subject(rows, plan, generators, total) if checkpoint else ""
        batches = self._merged(rows, generators)
        self._stream = RandomStream(generators[0], adapters.model.device)
        self._resume()
        self._batches = itertools.islice(batches, self.done, None)

    @property
    def count(self) -> int:
        """How many adapters there are."""
        return self.adapters.count

    def only(self, index: int) -> AbstractContextManager[LanguageModel]:
        """Within the block, the base with one of the adapters."""
        return self.adapters.only(index)

    def side_by_side(self) -> AbstractContextManager[LanguageModel]:
        """Within the block, block k of a batch's rows goes through adapter k."""
        return self.adapters.active()

    def advance(self, steps: int) -> None:
        """
        Take so many more steps of the plan.

        Raises:
            UndertowError: the loss of an adapter is not finite.
        """
        network = self.adapters.model.network
        network.train()
        try:
            attention = training_attention(self.adapters.model, self._longest)
            with (
                frozen(self.adapters.model),
                self._stream.active(),
                self.adapters.active(),
                attention,
            ):
                self._advance(steps)
        finally:
            network.eval()

    def advance_to(self, step: int) -> None:
        """
        Take the plan's steps up to this one, of which some may be taken already.

        Raises:
            UndertowError: the loss of an adapter is not finite.
        """
        self.advance(max(0, step - self.done))

    def _advance(self, steps: int) -> None:
        doing = "training" if self.count == 1 else f"training {self.count} adapters"
        with counted(doing, self.done + steps, "steps", done=self.done) as work:
            for left in reversed(range(steps)):
                parts = next(self._batches)
                self._step(parts)
                loss = sum(self.loss_history[-1]) / self.count
                tokens = sum(part.batch.tokens for part in parts)
                work.advance(tokens=tokens, remark=f"loss {loss:.3g}")
                if self._checkpoint is not None:
                    self._checkpoint.offer(self._subject, self._live, self._counters, last=not left)

    @property
    def _live(self) -> LiveTraining:
        weights = [weight for own in self._weights for weight in own]
        return LiveTraining(weights, self._optimizer, self._schedule)

    def _counters(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        return {"done": self.done, "losses": self.loss_history}, self._stream.here()

    def _resume(self) -> None:
        before = self._checkpoint.resume(self._subject, self._live) if self._checkpoint else None
        if before is not None:
            self.done = before.counters["done"]
            self.loss_history = [tuple(losses) for losses in before.counters["losses"]]
            self._stream.put_back(before.streams)

    def _merged(
        self, rows: Sequence[Sequence[Any]], generators: Sequence[np.random.Generator]
    ) -> Iterator[list[_Part]]:
        lengths = [[len(row) for row in own] for own in rows]
        orders = [
            training_rows(own, self.plan, generator, self.total)
            for own, generator in zip(lengths, generators, strict=True)
        ]
        for step in zip(*orders, strict=True):
            yield [
                self._part(
                    [[own[i] for i in part] for own, part in zip(rows, together, strict=True)]
                )
                for together in zip(*step, strict=True)
            ]

    def _part(self, chosen: list[list[Any]]) -> _Part:
        sequences = [one for own in chosen for one in self._objective.sequences(own)]
        pad_id = self.adapters.model.tokenizer.pad_token_id
        numbers = tuple(range(len(sequences)))
        return _Part(chosen, pad(sequences, pad_id, numbers, self._beginning, self.count))

    def _pieces(self, parts: list[_Part]) -> Iterator[_Part]:
        """The micro-batches, in parts that fit into memory: each run's mean over the step stays what it is."""
        if self._room is None:
            self._tried = 1, self._longest
            self._room = self._measured(self._part([rows[:1] for rows in parts[0].rows]))
        for part in parts:
            wanted = max(map(len, part.rows))
            sequences = len(part.batch.rows) // (self.count * wanted)
            longest = part.batch.length * sequences
            size = self._room.rows(longest, self.count, wanted)
            self._tried = size, longest
            for start in range(0, wanted, size):
                pieces = [rows[start : start + size] for rows in part.rows]
                yield part if size >= wanted else self._part(pieces)

    def _measured(self, part: _Part) -> TrainingRoom:
        """By a row of each run; preference pairs are two sequences each."""
        model, rows = self.adapters.model, len(part.batch.rows)
        batch = part.batch.to(model.device)
        longest = rows // self.count * self._longest
        return training_room(
            model,
            lambda: token_log_likelihoods(model.network, batch).sum(),
            rows * batch.length,
            longest,
            self.count,
        )

    def _shares(self, part: _Part, weights: torch.Tensor) -> torch.Tensor:
        """Of the step's loss of each run, with their gradients."""

        def losses(likelihoods: torch.Tensor) -> torch.Tensor:
            each = likelihoods.view(self.count, -1, likelihoods.shape[1])
            return self._objective.losses(each, part.rows) / weights

        return self._passes.share(part.batch, losses)

    def _shrink(self, error: RuntimeError) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        room, model = self._room or UNLIMITED, self.adapters.model
        self._room = room.smaller(error, model, *self._tried, self.count)

    def _step(self, parts: list[_Part]) -> None:
        weights = torch.tensor(
            [
                sum(self._objective.weight(part.rows[k]) for part in parts)
                for k in range(self.count)
            ],
            device=self.adapters.model.device,
        )
        shares = whole_step(
            lambda: self._pieces(parts), lambda part: self._shares(part, weights), self._shrink
        )
        if self.plan.max_grad_norm is not None:
            for own in self._weights:
                torch.nn.utils.clip_grad_norm_(own, self.plan.max_grad_norm)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad(set_to_none=True)
        # Read once the whole step has been handed to the device, which would stand still otherwise.
        self.loss_history.append(tuple(torch.stack(shares).double().sum(0).tolist()))
        self.done += 1
        if not all(math.isfinite(value) for value in self.loss_history[-1]):
            raise UndertowError(
                f"training of '{self.adapters.model.ref}' diverged at step {self.done}",
                hint=f"lower learning_rate (now {self.plan.learning_rate})",
            )


@dataclass(frozen=True)
class _Part:
    """A micro-batch of all adapters."""

    rows: list[list[Any]]
    """Of each adapter."""
    batch: Batch


class SeparateTraining:
    """
    One run of a plan for each generator, in a copy of the base of its own; the base itself is left alone.

    Memory holds as many copies of the network as there are generators, with their optimiser's state.
    """

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Sequence[Encoded]],
        plan: TrainingPlan,
        generators: Sequence[np.random.Generator],
        total: int,
        adapter_seeds: Sequence[int],
        checkpoint: TrainingCheckpoint | None = None,
    ) -> None:
        """
        `rows`, `generators` and `adapter_seeds` hold one entry a copy; `total` is the plan's number of steps.

        Raises:
            DataError: a row is longer than the plan's or the model's limit.
            ModelError: no module has the name that the plan targets.
        """
        self.count = len(generators)
        self._models = [
            trainable(replace(model, network=copy.deepcopy(model.network)), plan, seed)
            for seed in adapter_seeds
        ]
        self._runs = [
            TrainingRun(
                student,
                encoded,
                plan,
                generator,
                total,
                checkpoint=checkpoint.of_run(k) if checkpoint else None,
            )
            for k, (student, encoded, generator) in enumerate(
                zip(self._models, rows, generators, strict=True)
            )
        ]

    @property
    def done(self) -> int:
        """Steps that the copy has taken that took most: they are trained one after the other."""
        return max(run.done for run in self._runs)

    def advance(self, steps: int) -> None:
        """Take so many more steps of the plan."""
        self.advance_to(self.done + steps)

    def advance_to(self, step: int) -> None:
        """Take the plan's steps up to this one, of which some copies may have taken more than others."""
        for run in self._runs:
            run.advance(max(0, step - run.done))

    def parameters_of(self, index: int) -> list[torch.nn.Parameter]:
        """Trained weights of one copy."""
        return trained_weights(self._models[index])

    @contextmanager
    def only(self, index: int) -> Iterator[LanguageModel]:
        """Within the block, one of the copies."""
        yield self._models[index]

    def side_by_side(self) -> None:
        """Copies are never computed in one pass."""
        return
