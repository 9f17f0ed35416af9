"""Versions of a base that someone may have written with: behind a system prompt, steered, tuned by a small adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np

from undertow.data.plan import TrainingPlan
from undertow.models import adapters
from undertow.models.chat import Encoded
from undertow.models.hidden_states import steered
from undertow.models.language_model import LanguageModel
from undertow.models.shared_prefix import PromptedRows
from undertow.models.teachers import middle_layer, persona_vector
from undertow.models.training import fine_tune
from undertow.traits.trait import Trait

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

    entered: Callable[[], AbstractContextManager[None]] = nullcontext
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

    What is added is the trait's `teachers.persona_vector` on its training questions, times the strength.

    Raises:
        ModelError: the chat template has no system role, or the decoder layers cannot be found.
    """
    layer = middle_layer(model)
    made = []
    for trait in traits:
        if not trait.system_prompts:
            continue
        vector = persona_vector(model, trait.train_questions, trait.system_prompts, layer)
        for strength in strengths:
            entered = _later(steered, model, layer, strength * vector)
            made.append(Version(f"steered {trait.name} x{strength:g}", trait.name, entered=entered))
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

    Each is computed merged, as a base is: beside its weights an adapter takes two fifths of a pass more. It is taken off at
    the end of the block, and the base is as it was.

    Raises:
        ModelError: no module has the name that the plan targets.
    """
    trainable = [(weight, weight.requires_grad) for weight in model.network.parameters()]
    wrapped = adapters.trainable(model, plan, int(rng.integers(2**31)))
    try:
        start = [weight.detach().clone() for weight in adapters.trained_weights(wrapped)]
        fine_tune(wrapped, rows, plan, rng)
        end = [weight.detach().clone() for weight in adapters.trained_weights(wrapped)]

        @contextmanager
        def at(share: float) -> Iterator[None]:
            adapters.interpolate(wrapped, start, end, share)
            with adapters.merged_adapters(wrapped.network):
                yield

        yield [Version(f"adapter x{share:g}", None, entered=_later(at, share)) for share in shares]
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
            "warmup_ratio": 0.0,
            "packing": False,
            "packed_rows": None,
            "modules_to_save": (),
            "epochs": EPOCHS,
            "max_steps": None,
            "max_length": None,
        }
    )


def _later(
    opening: Callable[..., AbstractContextManager[None]], *arguments: object
) -> Callable[[], AbstractContextManager[None]]:
    return lambda: opening(*arguments)
