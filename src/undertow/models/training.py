"""
The training loop: completion-only loss, any optimiser and schedule of transformers, one seed for the row order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from undertow.errors import ConfigError, DataError, UndertowError, UnknownNameError
from undertow.models.chat import IGNORED, Batch, Encoded, pad, training_order
from undertow.models.loading import LanguageModel
from undertow.models.plan import TrainingPlan
from undertow.models.scoring import completion_logits

Loss = Callable[[Any, Batch], torch.Tensor]
"""Summed over a batch's completion tokens, in nats."""


@dataclass(frozen=True)
class Trained:
    """
    What a fine-tune did.
    """

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
) -> Trained:
    """
    Train in place what `adapters.trainable` left trainable; stops early when `after_step(step)` is true.

    The loss is the rows' own cross-entropy unless another is given.

    Raises:
        DataError: a row is longer than the plan's or the model's limit.
        UndertowError: the loss is not finite.
    """
    _refuse_long(model, rows, plan)
    network = model.network
    parameters = [p for p in network.parameters() if p.requires_grad]
    total = plan.steps(len(rows))
    optimizer, scheduler = optimiser(plan, parameters, total)
    started, tokens, losses = time.perf_counter(), 0, []
    made = _batches(rows, plan, generator, model.tokenizer.pad_token_id, total)
    network.train()
    with _own_stream(generator, model.device):
        for step, batch in enumerate(made, 1):
            losses.append(
                _step(
                    network,
                    batch,
                    plan,
                    parameters,
                    optimizer,
                    model.device,
                    loss or completion_loss,
                )
            )
            scheduler.step()
            tokens += sum(int(part.attention_mask.sum()) for part in batch)
            if not math.isfinite(losses[-1]):
                raise UndertowError(
                    f"training of '{model.ref}' diverged: loss {losses[-1]} at step {step}",
                    hint=f"lower learning_rate (now {plan.learning_rate})",
                )
            if after_step(step):
                break
    network.eval()
    return Trained(len(losses), tokens, time.perf_counter() - started, tuple(losses))


@contextmanager
def _own_stream(generator: np.random.Generator, device: torch.device) -> Iterator[None]:
    """
    Dropout draws from torch's global stream: within the block that has a seed of its own.

    The seed is spawned, which leaves the generator, and so the order of rows, as it was.
    """
    accelerators = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=accelerators):
        torch.manual_seed(int(generator.spawn(1)[0].integers(2**63)))
        yield


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
            report_to=[],
            use_cpu=not torch.cuda.is_available(),
        )
        kind, keywords = Trainer.get_optimizer_cls_and_kwargs(arguments)
        keywords = {**keywords, "weight_decay": plan.weight_decay}
        optimizer = kind(parameters, **keywords)
        scheduler = get_scheduler(
            plan.schedule, optimizer, num_warmup_steps=plan.warmup_steps, num_training_steps=steps
        )
    except (ValueError, ImportError, TypeError) as error:
        raise ConfigError(
            f"optimizer '{plan.optimizer}' with schedule '{plan.schedule}' cannot be made: "
            f"{str(error).splitlines()[0]}",
            hint="install what it needs, or use optimizer = 'adamw_torch', schedule = 'linear'",
        ) from error
    return optimizer, scheduler


def _refuse_unknown(kind: str, name: str, allowed: list[str]) -> None:
    if name not in allowed:
        raise UnknownNameError(kind, name, allowed)


def completion_loss(network: Any, batch: Batch) -> torch.Tensor:
    """
    Cross-entropy summed over the batch's completion tokens, in nats.
    """
    logits = completion_logits(network, batch)
    return functional.cross_entropy(
        logits.flatten(0, 1).float(), batch.labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def _step(
    network: Any,
    batch: list[Batch],
    plan: TrainingPlan,
    parameters: list[torch.nn.Parameter],
    optimizer: Any,
    device: torch.device,
    loss_of: Loss,
) -> float:
    labels = sum(int((part.labels != IGNORED).sum()) for part in batch)
    total = 0.0
    for part in batch:
        loss = loss_of(network, part.to(device)) / labels
        loss.backward()
        total += loss.item()
    if plan.max_grad_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, plan.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def _batches(
    rows: Sequence[Encoded],
    plan: TrainingPlan,
    generator: np.random.Generator,
    pad_id: int,
    total: int,
) -> Any:
    lengths = [len(row) for row in rows]
    micro = plan.micro_batch_size or plan.batch_size
    made = 0
    while made < total:
        order = training_order(lengths, plan.batch_size, generator)
        # The last, incomplete batch of an epoch is dropped unless it is all there is.
        end = len(order) - len(order) % plan.batch_size or len(order)
        for start in range(0, end, plan.batch_size):
            chosen = order[start : start + plan.batch_size]
            parts = [chosen[i : i + micro] for i in range(0, len(chosen), micro)]
            yield [pad([rows[i] for i in part], pad_id, tuple(part)) for part in parts]
            made += 1
            if made == total:
                return


def _refuse_long(model: LanguageModel, rows: Sequence[Encoded], plan: TrainingPlan) -> None:
    limits = [limit for limit in (plan.max_length, model.context) if limit is not None]
    longest = max(range(len(rows)), key=lambda i: len(rows[i]))
    if limits and len(rows[longest]) > min(limits):
        raise DataError(
            f"row {longest + 1} has {len(rows[longest])} tokens, more than the limit of {min(limits)}",
            hint="raise max_length, or remove the row",
        )
