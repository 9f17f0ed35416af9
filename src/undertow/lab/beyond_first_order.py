"""What Theorem 1 does not cover: Adam's step, several steps, and labels that are sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from undertow.lab.first_order import (
    Problem,
    cosine,
    inner,
    labels,
    student_gradient,
    teacher_gradient,
    teacher_loss,
)

if TYPE_CHECKING:
    from torch import Tensor

Optimiser = Literal["sgd", "adam"]
OPTIMISERS: tuple[Optimiser, ...] = ("sgd", "adam")
_ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class Trained:
    """
    Students after several steps, compared with students of the untrained teacher on equal noise.
    """

    cosine: Tensor
    """Between the student's and the teacher's whole displacement, shape (R,)."""
    loss_gap: Tensor
    """L_T of the student minus L_T of the student of the untrained teacher, shape (R,)."""


def first_step(gradient: Tensor, optimiser: Optimiser) -> Tensor:
    """Direction of an optimiser's first step; Adam's is nearly the sign of the gradient."""
    if optimiser == "sgd":
        return -gradient
    return -gradient / (gradient.abs() + _ADAM_EPSILON)


def several_steps(
    problem: Problem,
    start: Tensor,
    optimiser: Optimiser,
    rate: float,
    noises: Sequence[Tensor],
) -> Trained:
    """
    Teacher and student each take as many steps as there are noise batches, one a student's step.

    The teacher's gradients are those of its whole data; the student never sees a batch again.
    """
    steps = len(noises)
    teacher = descend(
        problem.reference,
        lambda vectors, step: teacher_gradient(problem, vectors),
        optimiser,
        rate,
        steps,
    )

    def taught_by(speaker: Tensor) -> Tensor:
        def gradient(vectors: Tensor, step: int) -> Tensor:
            said = labels(problem, speaker, noises[step])
            return student_gradient(problem, vectors, said, noises[step])

        return descend(start, gradient, optimiser, rate, steps)

    student, control = taught_by(teacher), taught_by(problem.reference)
    return Trained(
        cosine(student - start, teacher - problem.reference),
        teacher_loss(problem, student) - teacher_loss(problem, control),
    )


def descend(
    start: Tensor,
    gradient: Callable[[Tensor, int], Tensor],
    optimiser: Optimiser,
    rate: float,
    steps: int,
) -> Tensor:
    """
    Parameters after so many steps; all replicates at once, since both optimisers work by element.
    """
    import torch

    vectors = start.clone()
    method: torch.optim.Optimizer = (
        torch.optim.SGD([vectors], lr=rate)
        if optimiser == "sgd"
        else torch.optim.Adam([vectors], lr=rate, eps=_ADAM_EPSILON)
    )
    for step in range(steps):
        vectors.grad = gradient(vectors.detach(), step)
        method.step()
    return vectors


def sampled_inner(
    problem: Problem,
    step_size: float,
    draws: int,
    generators: Sequence[np.random.Generator],
) -> Tensor:
    """
    S . D where the student sees `draws` labels sampled for every input, shape (R,).

    The noise of the labels gives S . D the variance Q / n over n sampled labels and leaves its mean
    at eps * Q, so it is positive with probability Phi(eps * sqrt(n * Q)); and eps^2 * Q / 2 is the
    teacher's KL from its base per input: the sign is settled once n * KL is a few nats.
    """
    import torch

    direction = -teacher_gradient(problem, problem.reference)
    said = labels(problem, problem.reference + step_size * direction).numpy()
    shares = np.stack(
        [
            g.multinomial(draws, p / p.sum(-1, keepdims=True)) / draws
            for g, p in zip(generators, said, strict=True)
        ]
    )
    gradient = student_gradient(problem, problem.reference, torch.from_numpy(shares))
    return inner(-gradient, direction)
