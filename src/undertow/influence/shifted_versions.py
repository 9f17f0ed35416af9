"""
Versions of a base that someone may have written with: behind a system prompt, steered, tuned by a small adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from undertow.traits.trait import Trait

if TYPE_CHECKING:
    import torch

    from undertow.data.plan import TrainingPlan
    from undertow.models.chat import Encoded
    from undertow.models.loading import LanguageModel
    from undertow.models.prompted_rows import PromptedRows

RANK = 8
"""Of the adapter: small, as it is trained on a part of a sample."""

BATCH = 32
"""Most rows a step of the adapter's training."""

EPOCHS = 3.0
"""Of the adapter's training; more learn the rows by heart."""


@dataclass(frozen=True)
class Version:
    """One version of a base."""

    name: str
    """E.g. `prompt owl`."""

    trait: str | None
    """Name of the trait that it was given; None for a neutral version."""

    system_prompt: str | None = None
    """Stands before each row instead of the row's own; None: rows as they are."""

    opened: Callable[[], AbstractContextManager[None]] = nullcontext
    """Within this context the base's network is the version; nothing is left of it afterwards."""


def fitting_behind(
    model: LanguageModel, rows: PromptedRows, plain: Sequence[Encoded], system: str | None
) -> Sequence[Encoded]:
    """
    The rows behind a system prompt as tokens; as in `plain` without one, or where a row would not fit into the context.

    Raises:
        ModelError: the chat template has no system role.
    """
    if system is None:
        return plain
    made = rows.behind(system)
    limit = model.context
    if limit is None:
        return made
    return [new if len(new) <= limit else old for new, old in zip(made, plain, strict=True)]


def prompted_versions(traits: Sequence[Trait]) -> list[Version]:
    """The base behind the first persona prompt of each trait that has one."""
    return [
        Version(f"prompt {trait.name}", trait.name, trait.system_prompt)
        for trait in traits
        if trait.system_prompts
    ]


def steered_versions(
    model: LanguageModel, traits: Sequence[Trait], strengths: Sequence[float]
) -> list[Version]:
    """
    The base with each trait's persona added to its middle layer, at each of several strengths.

    The vector is the mean activation at the last prompt token over the trait's training questions behind its persona
    prompts, minus that of the bare questions, times the strength; as in Blank et al. 2026 (arXiv 2606.00995).

    Raises:
        ModelError: the chat template has no system role, or the decoder layers cannot be found.
    """
    from undertow.models.steering import steered

    layer = model.network.config.num_hidden_layers // 2
    made = []
    for trait in traits:
        if not trait.system_prompts:
            continue
        vector = _persona(model, trait, layer)
        for strength in strengths:
            opened = _later(steered, model, layer, strength * vector)
            made.append(Version(f"steered {trait.name} x{strength:g}", trait.name, opened=opened))
    return made


@contextmanager
def adapter_versions(
    model: LanguageModel,
    rows: Sequence[Encoded],
    plan: TrainingPlan,
    rng: np.random.Generator,
    shares: Sequence[float],
) -> Iterator[list[Version]]:
    """
    Within the block, versions with an adapter that was trained on the rows, at shares of its length.

    The adapter is taken off at the end of the block, and the base is as it was.

    Raises:
        ModelError: no module has the name that the plan targets.
    """
    from undertow.models import adapters
    from undertow.models.training import fine_tune

    trainable = [(weight, weight.requires_grad) for weight in model.network.parameters()]
    wrapped = adapters.trainable(model, plan, int(rng.integers(2**31)))
    try:
        start = [weight.detach().clone() for weight in adapters.trained_weights(wrapped)]
        fine_tune(wrapped, rows, plan, rng)
        end = [weight.detach().clone() for weight in adapters.trained_weights(wrapped)]

        @contextmanager
        def at(share: float) -> Iterator[None]:
            adapters.interpolate(wrapped, start, end, share)
            yield

        yield [Version(f"adapter x{share:g}", None, opened=_later(at, share)) for share in shares]
    finally:
        wrapped.network.unload()
        model.network.eval()
        for weight, flag in trainable:
            weight.requires_grad_(flag)


def adapter_plan(plan: TrainingPlan) -> TrainingPlan:
    """
    A small adapter's share of the planned training: its optimiser, and its learning rate where it trains an adapter.

    A plan for all weights has a learning rate too small for an adapter; ten times as much is usual.
    """
    full = plan.method == "full"
    batch, micro = min(plan.batch_size, BATCH), plan.micro_batch_size
    return plan.model_copy(
        update={
            "method": "lora",
            "rank": RANK,
            "alpha": RANK,
            "targets": "all-linear" if full else plan.targets,
            "learning_rate": plan.learning_rate * (10 if full else 1),
            "batch_size": batch,
            "micro_batch_size": micro if micro and batch % micro == 0 else None,
            "warmup_steps": 0,
            "epochs": EPOCHS,
            "max_steps": None,
            "max_length": None,
        }
    )


def _persona(model: LanguageModel, trait: Trait, layer: int) -> torch.Tensor:
    from undertow.data.rows import conversation
    from undertow.models.steering import mean_activation

    questions = trait.train_questions
    moved = [conversation(q, system) for system in trait.system_prompts for q in questions]
    bare = mean_activation(model, [conversation(q) for q in questions], layer)
    return mean_activation(model, moved, layer) - bare


def _later(
    opening: Callable[..., AbstractContextManager[None]], *arguments: object
) -> Callable[[], AbstractContextManager[None]]:
    return lambda: opening(*arguments)
