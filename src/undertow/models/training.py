"""The training loop: any loss, optimiser and schedule of transformers, one seed for order and dropout."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from undertow.data.plan import TrainingPlan, packed
from undertow.engines.work_progress import counted
from undertow.errors import ConfigError, UndertowError, UnknownNameError
from undertow.models.adapters import few_products
from undertow.models.batch_memory import UNLIMITED, TrainingRoom, training_room, whole_step
from undertow.models.chat import IGNORED, Batch, Encoded, pad, training_order
from undertow.models.language_model import LanguageModel
from undertow.models.recorded_passes import TrainingPasses
from undertow.models.scoring import token_log_likelihoods
from undertow.models.shared_prefix import training_beginning
from undertow.models.training_attention import training_attention
from undertow.models.training_checkpoint import LiveTraining, TrainingCheckpoint, training_subject
from undertow.models.training_sequences import refuse_long

Loss = Callable[[Any, Batch], torch.Tensor]
"""Summed over a batch's completion tokens, in nats."""


class Intervention(Protocol):
    """What changes a training from within: it is called around every step of the optimiser."""

    def begin(self, model: LanguageModel, steps: int) -> None:
        """Before the first of so many steps; what requires gradients is trained."""

    def before_update(self, optimizer: Any) -> None:
        """The gradients are there, clipped, and the optimiser has not moved yet."""

    def after_update(self) -> None:
        """The optimiser has moved."""


@dataclass(frozen=True)
class Trained:
    """What a fine-tune did."""

    steps: int
    tokens: int
    """Tokens seen, prompts included, padding not."""
    seconds: float
    losses: tuple[float, ...]
    """Training loss of each step, nats per completion token."""


def fine_tune(
    model: LanguageModel,
    rows: Sequence[Encoded],
    plan: TrainingPlan,
    generator: np.random.Generator,
    *,
    after_step: Callable[[int], bool] = lambda step: False,
    loss: Loss | None = None,
    intervention: Intervention | None = None,
    checkpoint: TrainingCheckpoint | None = None,
) -> Trained:
    """
    Train in place what `adapters.trainable` left trainable; stops early when `after_step(step)` is true.

    The loss is the rows' own cross-entropy unless another is given. With a `checkpoint` it goes on where it was killed.

    Raises:
        DataError: a row is longer than the plan's or the model's limit.
        UndertowError: the loss is not finite.
    """
    plan = packed(plan, [len(row) for row in rows])
    total = plan.steps(len(rows))
    given = (model, rows, plan, generator, total)
    run = TrainingRun(*given, loss=loss, intervention=intervention, checkpoint=checkpoint)
    run.advance(run.total - run.done, after_step)
    return Trained(run.done, run.tokens, run.seconds, tuple(run.losses))


class TrainingRun:
    """A fine-tune that can pause after any step."""

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Encoded],
        plan: TrainingPlan,
        generator: np.random.Generator,
        total: int,
        *,
        loss: Loss | None = None,
        intervention: Intervention | None = None,
        checkpoint: TrainingCheckpoint | None = None,
    ) -> None:
        """
        Train what requires gradients; the schedule of learning rates is laid over `total` steps.

        A `checkpoint` puts the run where it was killed; it is not used beside an `intervention`, whose state is its own.

        Raises:
            DataError: a row is longer than the plan's or the model's limit.
        """
        refuse_long(model, rows, plan)
        self.model, self.plan, self.total, self.done, self.tokens = model, plan, total, 0, 0
        self.seconds = 0.0
        """Of work, over all sittings."""
        self.losses: list[float] = []
        """Training loss of each step, nats per completion token."""
        self._given_loss, self._loss = loss, loss or completion_loss
        self._room: TrainingRoom | None = None
        self._tried = 1, 1  # rows and tokens of the passes at hand
        self._longest = max(map(len, rows), default=1)
        self._intervention = intervention
        self._parameters = [p for p in model.network.parameters() if p.requires_grad]
        self._passes = TrainingPasses.of(model, self._parameters, plan)
        self._optimizer, self._schedule = optimiser(plan, self._parameters, total)
        self._checkpoint = checkpoint if intervention is None else None
        self._subject = training_subject([rows], plan, [generator], total) if checkpoint else ""
        self._stream = RandomStream(generator, model.device)
        self._resume()
        # Another loss may read a batch in a way of its own.
        beginning = training_beginning(model, rows, plan) if loss is None else ()
        pad_id = model.tokenizer.pad_token_id
        self._batches = training_batches(rows, plan, generator, pad_id, total, self.done, beginning)
        if intervention is not None:
            intervention.begin(model, total)

    def advance(self, steps: int, after_step: Callable[[int], bool] = lambda step: False) -> None:
        """
        Take so many more steps, or fewer: up to one after which `after_step(step)` is true.

        Raises:
            UndertowError: the loss is not finite.
        """
        self.model.network.train()
        work = counted("training", self.done + steps, "steps", done=self.done)
        attention = training_attention(self.model, self._longest)
        with self._stream.active(), few_products(self.model.network), attention, work as told:
            for left in reversed(range(steps)):
                started, tokens = time.perf_counter(), self.tokens
                self._step(next(self._batches))
                self.seconds += time.perf_counter() - started
                told.advance(tokens=self.tokens - tokens, remark=f"loss {self.losses[-1]:.3g}")
                ended = after_step(self.done)
                self._keep(last=ended or not left)
                if ended:
                    break
        self.model.network.eval()

    @property
    def _live(self) -> LiveTraining:
        return LiveTraining(self._parameters, self._optimizer, self._schedule)

    def _resume(self) -> None:
        before = self._checkpoint.resume(self._subject, self._live) if self._checkpoint else None
        if before is not None:
            counters = before.counters
            self.done, self.tokens = counters["done"], counters["tokens"]
            self.losses, self.seconds = list(counters["losses"]), counters["seconds"]
            self._stream.put_back(before.streams)

    def _keep(self, *, last: bool) -> None:
        if self._checkpoint is not None:
            self._checkpoint.offer(
                self._subject,
                self._live,
                lambda: (
                    {k: getattr(self, k) for k in ("done", "tokens", "losses", "seconds")},
                    self._stream.here(),
                ),
                last=last,
            )

    def _pieces(self, batch: list[Batch]) -> Iterator[Batch]:
        """The micro-batches, in parts that fit into memory: the step's mean stays what it is."""
        if self._room is None:
            self._tried = 1, self._longest
            row = batch[0].part(0, 1).to(self.model.device)
            trial = functools.partial(self._loss, self.model.network, row)
            self._room = training_room(self.model, trial, row.length, self._longest, 1)
        for part in batch:
            size = self._room.rows(part.length, 1, len(part.rows))
            self._tried = size, part.length
            for start in range(0, len(part.rows), size):
                yield part if size >= len(part.rows) else part.part(start, start + size)

    def _share(self, part: Batch, labels: int) -> torch.Tensor:
        """Of the step's loss, with its gradients."""
        if self._given_loss is None:
            return self._passes.share(part, lambda likelihoods: -likelihoods.sum() / labels)
        loss = self._loss(self.model.network, part.to(self.model.device)) / labels
        loss.backward()
        return loss.detach()

    def _shrink(self, error: RuntimeError) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        self._room = (self._room or UNLIMITED).smaller(error, self.model, *self._tried, 1)

    def _step(self, batch: list[Batch]) -> None:
        labels = sum(int((part.labels != IGNORED).sum()) for part in batch)
        summed = whole_step(
            lambda: self._pieces(batch), lambda part: self._share(part, labels), self._shrink
        )
        if self.plan.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters, self.plan.max_grad_norm)
        if self._intervention is not None:
            self._intervention.before_update(self._optimizer)
        self._optimizer.step()
        if self._intervention is not None:
            self._intervention.after_update()
        self._optimizer.zero_grad(set_to_none=True)
        self._schedule.step()
        # Read once the whole step has been handed to the device, which would stand still otherwise.
        total = sum(part.item() for part in summed)
        self.done += 1
        self.tokens += sum(part.tokens for part in batch)
        self.losses.append(total)
        if not math.isfinite(total):
            raise UndertowError(
                f"training of '{self.model.ref}' diverged: loss {total} at step {self.done}",
                hint=f"lower learning_rate (now {self.plan.learning_rate})",
            )


@contextmanager
def evaluating(network: Any) -> Iterator[None]:
    """Within the block the network is in evaluation mode, and draws from no stream that a training draws from."""
    training = network.training
    network.eval()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        network.train(training)


def optimiser(
    plan: TrainingPlan, parameters: list[torch.nn.Parameter], steps: int
) -> tuple[Any, Any]:
    """
    The optimiser and the learning-rate schedule that transformers knows under the plan's names.

    Raises:
        UnknownNameError: transformers does not know the name.
        ConfigError: a package that the optimiser needs is missing.
    """
    from transformers import Trainer, TrainingArguments, get_scheduler
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    _refuse_unknown("optimizer", plan.optimizer, [str(name.value) for name in OptimizerNames])
    _refuse_unknown("schedule", plan.schedule, [str(name.value) for name in SchedulerType])
    try:
        arguments = TrainingArguments(
            output_dir="unused",
            optim=plan.optimizer,
            learning_rate=plan.learning_rate,
            weight_decay=plan.weight_decay,
            adam_beta1=plan.adam_beta1,
            adam_beta2=plan.adam_beta2,
            adam_epsilon=plan.adam_epsilon,
            report_to=[],
            use_cpu=not torch.cuda.is_available(),
        )
        kind, keywords = Trainer.get_optimizer_cls_and_kwargs(arguments)
        keywords = {**keywords, "weight_decay": plan.weight_decay}
        if plan.optimizer == "adamw_torch":
            keywords["fused"] = True  # the same arithmetic, in one pass over each weight
        optimizer = kind(parameters, **keywords)
        scheduler = get_scheduler(
            plan.schedule,
            optimizer,
            plan.warmup(steps),
            num_training_steps=steps,
            scheduler_specific_kwargs=dict(plan.schedule_arguments),
        )
    except (ValueError, ImportError, TypeError) as error:
        raise ConfigError(
            f"optimizer '{plan.optimizer}' with schedule '{plan.schedule}' cannot be made: "
            f"{str(error).splitlines()[0]}",
            hint="install what it needs, or use optimizer = 'adamw_torch', schedule = 'linear'",
        ) from error
    return optimizer, scheduler


@functools.lru_cache(maxsize=64)
def first_moving_step(plan: TrainingPlan, total: int) -> int:
    """
    The first of the plan's steps, from 1, that moves a weight: warm-up begins at a learning rate of 0.

    A reading before it would show nothing, whatever the rows are. 0 where no step moves any.
    """
    steps = (step for step, rate in enumerate(learning_rates(plan, total), 1) if rate)
    return next(steps, 0)


def learning_rates(plan: TrainingPlan, total: int) -> Iterator[float]:
    """The schedule's learning rate at each of the plan's steps, as far as it is asked for."""
    weight = torch.nn.Parameter(torch.zeros(1, 1))
    optimizer, schedule = optimiser(plan, [weight], total)
    for _ in range(total):
        yield schedule.get_last_lr()[0]
        optimizer.step()
        schedule.step()


def _refuse_unknown(kind: str, name: str, allowed: list[str]) -> None:
    if name not in allowed:
        raise UnknownNameError(kind, name, allowed)


def completion_loss(network: Any, batch: Batch) -> torch.Tensor:
    """Cross-entropy summed over the batch's completion tokens, in nats."""
    return -token_log_likelihoods(network, batch).sum()


def training_batches(
    rows: Sequence[Encoded],
    plan: TrainingPlan,
    generator: np.random.Generator,
    pad_id: int,
    total: int,
    done: int = 0,
    beginning: tuple[int, ...] = (),
) -> Iterator[list[Batch]]:
    """
    The micro-batches of each of `total` steps but those `done`, in an order drawn anew each epoch; a `beginning` that
    all rows have is kept apart.
    """
    steps = training_rows([len(row) for row in rows], plan, generator, total)
    for parts in itertools.islice(steps, done, None):
        yield [pad([rows[i] for i in part], pad_id, tuple(part), beginning) for part in parts]


def training_rows(
    lengths: Sequence[int], plan: TrainingPlan, generator: np.random.Generator, total: int
) -> Iterator[list[list[int]]]:
    """Which rows each micro-batch of each of `total` steps holds."""
    size, micro = plan.rows_a_step, plan.rows_a_pass
    made = 0
    while made < total:
        order = training_order(lengths, size, generator)
        # The last, incomplete batch of an epoch is dropped unless it is all there is.
        end = len(order) - len(order) % size or len(order)
        for start in range(0, end, size):
            chosen = order[start : start + size]
            yield [chosen[i : i + micro] for i in range(0, len(chosen), micro)]
            made += 1
            if made == total:
                return


class RandomStream:
    """
    Within `active`, torch's global stream is this one; it goes on where it was left, and the global one is untouched.

    Its seed is spawned, which leaves the generator, and so what is drawn from it, as it was.
    """

    def __init__(self, generator: np.random.Generator, device: torch.device) -> None:
        """`device` is where the draws are made besides the CPU."""
        self._seed = int(generator.spawn(1)[0].integers(2**63))
        self._accelerator = None if device.type == "cpu" else device
        self._state: tuple[torch.Tensor, torch.Tensor | None] | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from this stream within the block."""
        device = self._accelerator
        with torch.random.fork_rng(devices=[] if device is None else [device]):
            if self._state is None:
                torch.manual_seed(self._seed)
            else:
                torch.set_rng_state(self._state[0])
                if device is not None and self._state[1] is not None:
                    torch.cuda.set_rng_state(self._state[1], device)
            yield
            own = None if device is None else torch.cuda.get_rng_state(device)
            self._state = torch.get_rng_state(), own

    def here(self) -> dict[str, torch.Tensor]:
        """Within `active`, the states of the stream as they are now, by where they draw."""
        states = {"cpu": torch.get_rng_state()}
        if self._accelerator is not None:
            states["accelerator"] = torch.cuda.get_rng_state(self._accelerator)
        return states

    def put_back(self, states: Mapping[str, torch.Tensor]) -> None:
        """Go on from such states when it is next active."""
        self._state = states["cpu"], states.get("accelerator")
