"""
Steering vectors of three origins, each scaled to where its teacher stands at a wanted KL from the base.

By persona prompts (`models.teachers.persona_vector`), learnt by gradient descent on a trait's lesson, or as the mean change of
another network's activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from undertow.data.seeds import generator
from undertow.models.adapters import frozen
from undertow.models.chat import Encoded, pad
from undertow.models.hidden_states import completion_means, steered
from undertow.models.language_model import LanguageModel
from undertow.models.teachers import Distance
from undertow.models.training import completion_loss

RATE, MOST_STEPS, BATCH = 0.03, 400, 32
"""Adam's, on the vector; the lesson's rows a step."""

_DOUBLINGS, _BISECTIONS = 12, 14


class UnreachableError(ValueError):
    """No multiple of the vector brings the model as far as was asked."""


def scaled(distance_at: Callable[[float], float], target: float) -> float:
    """
    The smallest found factor at which `distance_at(factor)` is `target`: doubled from 1/64 until beyond it, then bisected.

    Raises:
        UnreachableError: it stays below the target at any factor up to 64.
    """
    high = 1 / 64
    for _ in range(_DOUBLINGS):
        if distance_at(high) >= target:
            break
        high *= 2
    else:
        raise UnreachableError(
            f"at factor {high:g} the KL is {distance_at(high):.3f}, not {target}"
        )
    low = high / 2 if high > 1 / 64 else 0.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if distance_at(middle) < target else (low, middle)
    return (low + high) / 2


def brought_to(
    model: LanguageModel, layer: int, vector: torch.Tensor, distance: Distance, target: float
) -> torch.Tensor:
    """
    The vector's positive multiple at which the steered model stands at `target` nats a token from the base.

    Raises:
        UnreachableError: there is none up to 64 times the vector.
    """

    def at(factor: float) -> float:
        with steered(model, layer, factor * vector):
            return distance(model)

    return scaled(at, target) * vector


def learnt(
    model: LanguageModel,
    layer: int,
    lesson: Sequence[Encoded],
    distance: Distance,
    target: float,
    seed: int,
) -> torch.Tensor:
    """
    The one vector, (hidden,), that gradient descent finds for the lesson: the network stays as it is.

    It starts at 0 and is stopped at the first step behind which the KL is beyond `target`, then scaled back to it; one
    that never gets there is scaled up.
    """
    vector = torch.zeros(model.network.config.hidden_size, requires_grad=True)
    optimiser = torch.optim.Adam([vector], lr=RATE)
    rng = generator(seed, "lesson")
    with frozen(model):
        for _ in range(MOST_STEPS):
            rows = [lesson[i] for i in rng.permutation(len(lesson))[:BATCH].tolist()]
            _step(model, layer, vector, optimiser, rows)
            with steered(model, layer, vector.detach()):
                if distance(model) >= target:
                    break
    return brought_to(model, layer, vector.detach(), distance, target)


def mean_activations(
    model: LanguageModel, rows: Sequence[Encoded], layers: Iterable[int]
) -> tuple[torch.Tensor, ...]:
    """For each layer the mean of its output over the rows' completions, (hidden,), each row counted alike."""
    return tuple(
        torch.from_numpy(means.mean(0)) for means in completion_means(model, rows, list(layers))
    )


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    """Of the angle between two vectors; 0 where one has no length."""
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0, eps=1e-12))


def imitated(
    model: LanguageModel, layer: int, rows: Sequence[Encoded], steps: int, seed: int
) -> torch.Tensor:
    """
    What a student learns from rows that may learn one vector at the layer, (hidden,), and nothing else: from 0, by Adam
    at `RATE` falling to 0, once through as many rows as the steps take.
    """
    vector = torch.zeros(model.network.config.hidden_size, requires_grad=True)
    optimiser = torch.optim.Adam([vector], lr=RATE)
    order = generator(seed, "imitated").permutation(len(rows))[: steps * BATCH].reshape(steps, -1)
    with frozen(model):
        for step, chosen in enumerate(order.tolist()):
            optimiser.param_groups[0]["lr"] = RATE * (1 - step / steps)
            _step(model, layer, vector, optimiser, [rows[i] for i in chosen])
    return vector.detach()


def _step(
    model: LanguageModel,
    layer: int,
    vector: torch.Tensor,
    optimiser: torch.optim.Optimizer,
    rows: Sequence[Encoded],
) -> None:
    batch = pad(rows, model.tokenizer.pad_token_id, tuple(range(len(rows))))
    with steered(model, layer, vector):
        loss = completion_loss(model.network, batch) / sum(row.learnt for row in rows)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
