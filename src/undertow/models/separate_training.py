"""
Trains several full copies of a network, one after the other, behind the interface of `ParallelTraining`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from undertow.data.plan import TrainingPlan
from undertow.models.chat import Encoded
from undertow.models.loading import LanguageModel
from undertow.models.training import TrainingRun


class SeparateTraining:
    """
    One run of a plan that trains all weights, for each generator; the base itself is left alone.

    Memory holds as many copies of the network as there are generators, with their optimiser's state.
    """

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Sequence[Encoded]],
        plan: TrainingPlan,
        generators: Sequence[np.random.Generator],
        total: int,
    ) -> None:
        """`rows` and `generators` hold one entry a copy; `total` is the plan's number of steps."""
        self.count = len(generators)
        networks = [copy.deepcopy(model.network).requires_grad_(True) for _ in generators]
        self._models = [replace(model, network=network) for network in networks]
        self._runs = [
            TrainingRun(own, encoded, plan, generator, total)
            for own, encoded, generator in zip(self._models, rows, generators, strict=True)
        ]

    @property
    def done(self) -> int:
        """Steps that each copy has taken."""
        return self._runs[0].done

    @property
    def loss_history(self) -> list[tuple[float, ...]]:
        """Training loss of each step and copy, nats per completion token."""
        return list(zip(*(run.losses for run in self._runs), strict=True))

    def advance(self, steps: int) -> None:
        """Take so many more steps of the plan."""
        for run in self._runs:
            run.advance(steps)

    def parameters_of(self, index: int) -> list[torch.nn.Parameter]:
        """Trained weights of one copy."""
        parameters: list[Any] = list(self._models[index].network.parameters())
        return parameters

    @contextmanager
    def only(self, index: int) -> Iterator[LanguageModel]:
        """Within the block, one of the copies."""
        yield self._models[index]

    def side_by_side(self) -> None:
        """Copies are never computed in one pass."""
        return
