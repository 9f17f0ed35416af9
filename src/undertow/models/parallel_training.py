"""
Trains several adapters at once, each on its own rows in its own order, and can pause after any step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch

from undertow.errors import UndertowError
from undertow.models.chat import IGNORED, Batch, Encoded, pad
from undertow.models.loading import LanguageModel
from undertow.models.parallel_adapters import ParallelAdapters, frozen
from undertow.models.plan import TrainingPlan
from undertow.models.random_stream import RandomStream
from undertow.models.scoring import token_log_likelihoods
from undertow.models.training import optimiser, refuse_long, training_rows


class ParallelTraining:
    """
    One run of a plan for each adapter.

    Adapter k is trained exactly as `training.fine_tune` would train it alone with the k-th generator, but for dropout,
    which draws for all adapters from one stream.
    """

    def __init__(
        self,
        adapters: ParallelAdapters,
        rows: Sequence[Sequence[Encoded]],
        plan: TrainingPlan,
        generators: Sequence[np.random.Generator],
        total: int,
    ) -> None:
        """
        `rows` and `generators` hold one entry an adapter; `total` is the plan's number of steps, which its schedule
        of learning rates is laid over, however early the training is stopped.

        Raises:
            DataError: a row is longer than the plan's or the model's limit.
        """
        self.adapters, self.plan, self.total, self.done = adapters, plan, total, 0
        self.loss_history: list[tuple[float, ...]] = []
        """Training loss of each step and adapter, nats per completion token."""
        for own in {id(part): part for part in rows}.values():
            refuse_long(adapters.model, own, plan)
        self._weights = [adapters.parameters_of(k) for k in range(adapters.count)]
        everything = [weight for own in self._weights for weight in own]
        self._optimizer, self._schedule = optimiser(plan, everything, total)
        self._batches = self._merged(rows, generators)
        self._stream = RandomStream(generators[0], adapters.model.device)

    @property
    def count(self) -> int:
        """How many adapters there are."""
        return self.adapters.count

    def only(self, index: int) -> AbstractContextManager[LanguageModel]:
        """
        Within the block, the base with one of the adapters.
        """
        return self.adapters.only(index)

    def side_by_side(self) -> AbstractContextManager[LanguageModel]:
        """
        Within the block, block k of a batch's rows goes through adapter k.
        """
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
            with frozen(self.adapters.model), self._stream.active(), self.adapters.active():
                for _ in range(steps):
                    self._step(next(self._batches))
        finally:
            network.eval()

    def _merged(
        self, rows: Sequence[Sequence[Encoded]], generators: Sequence[np.random.Generator]
    ) -> Iterator[list[Batch]]:
        lengths = [[len(row) for row in own] for own in rows]
        orders = [
            training_rows(own, self.plan, generator, self.total)
            for own, generator in zip(lengths, generators, strict=True)
        ]
        pad_id = self.adapters.model.tokenizer.pad_token_id
        for step in zip(*orders, strict=True):
            parts = []
            for together in zip(*step, strict=True):
                chosen = [own[i] for own, part in zip(rows, together, strict=True) for i in part]
                parts.append(pad(chosen, pad_id, tuple(i for part in together for i in part)))
            yield parts

    def _step(self, batch: list[Batch]) -> None:
        count = self.adapters.count
        labels = sum((part.labels != IGNORED).view(count, -1).sum(1) for part in batch)
        total = torch.zeros(count, dtype=torch.float64)
        for made in batch:
            part = made.to(self.adapters.model.device)
            each = -self._log_likelihoods(part) / labels.to(part.labels.device)  # type: ignore[union-attr]
            each.sum().backward()
            total += each.detach().double().cpu()
        if self.plan.max_grad_norm is not None:
            for own in self._weights:
                torch.nn.utils.clip_grad_norm_(own, self.plan.max_grad_norm)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.loss_history.append(tuple(total.tolist()))
        self.done += 1
        if not all(math.isfinite(value) for value in self.loss_history[-1]):
            raise UndertowError(
                f"training of '{self.adapters.model.ref}' diverged at step {self.done}",
                hint=f"lower learning_rate (now {self.plan.learning_rate})",
            )

    def _log_likelihoods(self, batch: Batch) -> torch.Tensor:
        """
        Of each adapter's completion tokens, (adapters,) in nats.
        """
        each = token_log_likelihoods(self.adapters.model.network, batch)
        return each.view(self.adapters.count, -1).sum(1)
