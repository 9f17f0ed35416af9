"""
Training passes that an accelerator records once a shape and replays: a small network's step is thousands of launches.

A step of 16 rows of SmolLM2-135M starts 6,000 to 7,000 kernels, which an H200 computes in 40 to 65 ms and a processor
launches in 250 to 500 (bench/real/h200.json). What is recorded (a CUDA graph) is launched at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import torch
from torch import nn
from torch.nn import functional

from undertow.data.plan import TrainingPlan
from undertow.engines.work_progress import notice
from undertow.errors import first_line
from undertow.models.batch_memory import recomputes
from undertow.models.chat import IGNORED, Batch
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import token_log_likelihoods

T = TypeVar("T")

Losses = Callable[[torch.Tensor], torch.Tensor]
"""Of log-likelihoods, (rows, kept): what a training step adds up."""

MOST_WORK = 1e13
"""Weights times tokens of a pass, beyond which an accelerator is busy for longer than its launches take."""

MOST_SHAPES = 32
"""Shapes of a batch that are recorded in one training."""

_STEP = 16
"""Columns to a multiple of which short batches are padded, so that few shapes come; longer ones to an eighth."""

_SHARE = 1 / 8
"""Of the memory that is left, which recorded gradients may take beside the weights' own."""

_ALIKE = 0.05
"""Relative difference, at most, between what is replayed and what is computed."""


class Recorder(Protocol):
    """What records work on a device."""

    def record(self, work: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """What the work gave, in tensors that are filled anew by each call of the second."""


class CudaRecorder:
    """CUDA graphs that share one pool of memory: each is replayed to its end before another is."""

    def __init__(self, device: torch.device) -> None:
        """A recorder of what runs on that accelerator."""
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """What the work gave, which is computed first when the graph is replayed, and the replay."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device), torch.cuda.graph(graph, pool=self._pool):
            made = work()
        return made, graph.replay


@dataclass
class RecordedPass:
    """Forward and backward pass of one shape; the tensors stay where they are, and are filled anew."""

    batch: Batch
    likelihoods: torch.Tensor
    """(rows, kept), of the batch."""
    given: torch.Tensor
    """(rows, kept): the gradient of the losses by each of them."""
    gradients: Sequence[torch.Tensor | None]
    """Of each weight; None of one that the pass does not use."""
    forward: Callable[[], None]
    backward: Callable[[], None]
    places: list[int]
    """Addresses of the weights: what is recorded reads and writes there."""

    def fill(self, batch: Batch) -> None:
        """Put another batch of the shape in the place of the one that is there."""
        for ours, theirs in zip(_tensors(self.batch), _tensors(batch), strict=True):
            ours.copy_(theirs, non_blocking=True)


@dataclass
class TrainingPasses:
    """The passes of one training, each with its share of the step's loss and gradients."""

    model: LanguageModel
    weights: Sequence[nn.Parameter]
    """That are trained, in a fixed order."""
    recorder: Recorder | None = None
    """None where nothing is recorded."""
    _seen: set[tuple[int, ...]] = field(default_factory=set, init=False)
    _recorded: dict[tuple[int, ...], RecordedPass] = field(default_factory=dict, init=False)
    _buffers: list[torch.Tensor] = field(default_factory=list, init=False)

    @classmethod
    def of(
        cls, model: LanguageModel, weights: Sequence[nn.Parameter], plan: TrainingPlan
    ) -> TrainingPasses:
        """Those of a plan: recorded on an accelerator, where no pass draws at random and the model is whole on it."""
        cuda = model.records and model.device.type == "cuda" and not model.spread
        small = cuda and _bytes(weights) < _SHARE * torch.cuda.mem_get_info(model.device)[0]
        recorder = CudaRecorder(model.device) if small and not _draws(model, plan) else None
        return cls(model, weights, recorder)

    def share(self, batch: Batch, losses: Losses) -> torch.Tensor:
        """`losses` of the batch's likelihoods, whose gradients are added to those that the weights have."""
        if not self._worth_recording(batch):
            return self._computed(batch, losses)
        batch = rounded(batch, self.model.tokenizer.pad_token_id)
        shape = _shape(batch)
        recorded = self._recorded.get(shape)
        if recorded is not None and recorded.places != _places(self.weights):
            recorded = None
            self._recorded.clear()
        if recorded is None and shape in self._seen and len(self._recorded) < MOST_SHAPES:
            recorded = self._record(batch, shape)
        # A shape that comes once is not recorded; and what is recorded has to be computed once before.
        self._seen.add(shape)
        if recorded is None:
            return self._computed(batch, losses)
        return self._replayed(recorded, batch, losses)

    def _worth_recording(self, batch: Batch) -> bool:
        if self.recorder is None or recomputes(self.model.network):
            return False
        return batch.input_ids.numel() * self._size <= MOST_WORK

    @cached_property
    def _size(self) -> int:
        return sum(weight.numel() for weight in self.model.network.parameters())

    def _computed(self, batch: Batch, losses: Losses) -> torch.Tensor:
        likelihoods = token_log_likelihoods(self.model.network, batch.to(self.model.device))
        values = losses(likelihoods)
        values.sum().backward()
        return values.detach()

    def _replayed(self, recorded: RecordedPass, batch: Batch, losses: Losses) -> torch.Tensor:
        recorded.fill(batch)
        recorded.forward()
        likelihoods = recorded.likelihoods.detach().clone().requires_grad_()
        values = losses(likelihoods)
        values.sum().backward()
        assert likelihoods.grad is not None
        recorded.given.copy_(likelihoods.grad)
        recorded.backward()
        self._add(recorded.gradients)
        return values.detach()

    def _add(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """To those that the weights have; all at once, as a launch for each weight would take as long as a pass."""
        used = [(w, g) for w, g in zip(self.weights, gradients, strict=True) if g is not None]
        made = [gradient for _, gradient in used]
        there = _there([weight.grad for weight, _ in used])
        if len(there) == len(used):
            torch._foreach_add_(there, made)
            return
        if len(self._buffers) != len(used):
            self._buffers = [torch.empty_like(weight) for weight, _ in used]
        torch._foreach_copy_(self._buffers, made)
        for (weight, _), buffer in zip(used, self._buffers, strict=True):
            weight.grad = buffer if weight.grad is None else weight.grad + buffer

    def _record(self, batch: Batch, shape: tuple[int, ...]) -> RecordedPass | None:
        """None where the network cannot be recorded, or gives something else when it is replayed: then nothing more is."""
        try:
            recorded = recorded_pass(self.model, self.weights, batch, self.recorder)
            self._compare(recorded)
        except RuntimeError as error:
            self.recorder = None
            self._recorded.clear()
            told = first_line(error)
            notice(f"training passes of '{self.model.ref}' are launched one by one: {told}")
            return None
        self._recorded[shape] = recorded
        return recorded

    def _compare(self, recorded: RecordedPass) -> None:
        """
        Raises:
            RuntimeError: what is replayed is not what is computed.
        """
        recorded.given.fill_(1.0)
        recorded.forward()
        recorded.backward()
        expected = token_log_likelihoods(self.model.network, recorded.batch)
        gradients = torch.autograd.grad(expected.sum(), [*self.weights], allow_unused=True)
        apart = difference([recorded.likelihoods.detach()], [expected.detach()])
        refuse_unlike(apart, "a recorded pass's likelihoods")
        grown = difference(_there(recorded.gradients), _there(gradients))
        refuse_unlike(grown, "a recorded pass's gradients")


def recorded_pass(
    model: LanguageModel,
    weights: Sequence[nn.Parameter],
    batch: Batch,
    recorder: Recorder | None,
) -> RecordedPass:
    """
    Forward and backward pass over batches of this shape, recorded.

    Raises:
        RuntimeError: something in the network cannot be recorded.
    """
    if recorder is None:
        raise RuntimeError("there is nothing to record with")
    fixed = _copied(batch.to(model.device))
    now: list[torch.Tensor] = []

    def forward() -> torch.Tensor:
        now[:] = [token_log_likelihoods(model.network, fixed)]
        return now[0]

    likelihoods, replay = recorder.record(forward)
    given = torch.zeros_like(likelihoods, requires_grad=False)
    gradients, back = recorder.record(
        lambda: list(torch.autograd.grad(now[0], [*weights], given, allow_unused=True))
    )
    now.clear()
    places = _places(weights)
    return RecordedPass(fixed, likelihoods.detach(), given, gradients, replay, back, places)


def rounded(batch: Batch, pad_id: int) -> Batch:
    """The same with more columns of padding at its left, so that batches of like lengths have one shape."""
    kept = _up(batch.kept)
    columns = max(_up(batch.input_ids.shape[1]), kept + 1)
    more, unlabelled = columns - batch.input_ids.shape[1], kept - batch.kept
    return replace(
        batch,
        input_ids=functional.pad(batch.input_ids, (more, 0), value=pad_id),
        attention_mask=functional.pad(batch.attention_mask, (more, 0)),
        position_ids=functional.pad(batch.position_ids, (more, 0)),
        labels=functional.pad(batch.labels, (unlabelled, 0), value=IGNORED),
    )


def _up(columns: int) -> int:
    """
    To the next multiple of 16, or of the power of two that is an eighth of the number or less.

    >>> [_up(n) for n in (1, 16, 130, 300, 1000)]
    [16, 16, 144, 320, 1024]
    """
    step = max(_STEP, 1 << max(0, columns.bit_length() - 4))
    return -(-columns // step) * step


def _tensors(batch: Batch) -> list[torch.Tensor]:
    given = [batch.input_ids, batch.attention_mask, batch.position_ids, batch.labels]
    return given if batch.beginning is None else [*given, batch.beginning]


def _shape(batch: Batch) -> tuple[int, ...]:
    return (
        *batch.input_ids.shape,
        batch.kept,
        *(() if batch.beginning is None else batch.beginning.shape),
    )


def _copied(batch: Batch) -> Batch:
    """In memory that nobody else holds."""
    names = ("input_ids", "attention_mask", "position_ids", "labels")
    made: dict[str, Any] = {name: getattr(batch, name).clone() for name in names}
    beginning = None if batch.beginning is None else batch.beginning.clone()
    return replace(batch, **made, beginning=beginning)


def _draws(model: LanguageModel, plan: TrainingPlan) -> bool:
    """Whether a pass leaves something out at random: its draws are to be those of the training's own stream."""
    dropping = any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.network.modules())
    return bool(plan.dropout or dropping or getattr(model.config, "attention_dropout", 0))


def _bytes(weights: Sequence[nn.Parameter]) -> int:
    return sum(weight.numel() * weight.element_size() for weight in weights)


def _places(weights: Sequence[nn.Parameter]) -> list[int]:
    return [weight.data_ptr() for weight in weights]


def _there(tensors: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
    return [tensor for tensor in tensors if tensor is not None]


def difference(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """Norm of the difference over the norm of what is expected, over all tensors."""
    apart = torch.stack([(a - b).double().norm() for a, b in zip(found, expected, strict=True)])
    whole = torch.stack([b.double().norm() for b in expected])
    return float(apart.norm() / whole.norm().clamp_min(1e-12))


def refuse_unlike(apart: float, what: str) -> None:
    """
    Raises:
        RuntimeError: what is replayed lies farther from what is computed than rounding explains.
    """
    if not apart <= _ALIKE:
        raise RuntimeError(f"{what} differ from computed ones by {apart:.2g}")
