"""
The student's first step against the teacher's: what Theorem 1 of Cloud et al. (2025) is about.

The teacher moves by eps * D, D = -grad L_T. The student moves by S(eps) = -grad L_S, where L_S
compares its logits with the moved teacher's on unrelated inputs. From one initialisation,

    S(eps) . D = eps * Q + O(eps^2),    Q = E_x u' M u >= 0,    u = J(x) D,

with J the Jacobian of the logits and M = I (squared error) or diag(p) - p p' (cross-entropy).
Then what the theorem does not cover: Adam's step, several steps, and labels that are sampled.
All quantities are float64, for all replicates at once; vectors have shape (R, parameters).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from undertow.studies.theorem_networks import LossName, Setting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TheoremProblem:
    """R replicates of a setting."""

    setting: Setting
    reference: Tensor
    """Initialisation of every teacher, and of the students that share it, shape (R, parameters)."""
    foreign: Tensor
    """Another draw of the same distribution, shape (R, parameters)."""
    inputs: Tensor
    """The teacher's, shape (R, rows, ...)."""
    targets: Tensor
    """The teacher's, shape (R, rows, taught logits)."""
    noise: Tensor
    """The student's inputs, shape (R, rows, ...)."""


def draw_problem(setting: Setting, generators: Sequence[np.random.Generator]) -> TheoremProblem:
    """One replicate a generator."""
    import torch

    drawn = [
        (
            setting.network.initialise(g),
            setting.network.initialise(g),
            *setting.task(g),
            setting.noise(g),
        )
        for g in generators
    ]
    parts = [torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True)]
    return TheoremProblem(setting, *parts)


def teacher_loss(problem: TheoremProblem, vectors: Tensor) -> Tensor:
    """L_T of networks with these parameters, shape (R,)."""
    return over_replicates(_teacher_loss(problem.setting))(vectors, problem.inputs, problem.targets)


def teacher_gradient(problem: TheoremProblem, vectors: Tensor) -> Tensor:
    """Gradient of L_T, shape (R, parameters)."""
    import torch

    gradient = torch.func.grad(_teacher_loss(problem.setting))
    return over_replicates(gradient)(vectors, problem.inputs, problem.targets)


def labels(problem: TheoremProblem, vectors: Tensor, noise: Tensor | None = None) -> Tensor:
    """What networks with these parameters say about the noise: probabilities, or values."""
    setting = problem.setting

    def speak(vector: Tensor, inputs: Tensor) -> Tensor:
        logits = setting.network.logits(vector, inputs)[:, setting.distilled]
        return logits.softmax(-1) if setting.loss == "cross-entropy" else logits

    return over_replicates(speak)(vectors, problem.noise if noise is None else noise)


def student_gradient(
    problem: TheoremProblem, vectors: Tensor, targets: Tensor, noise: Tensor | None = None
) -> Tensor:
    """Gradient of L_S at these parameters for the teacher's `labels`, shape (R, parameters)."""
    import torch

    setting = problem.setting

    def loss(vector: Tensor, inputs: Tensor, wanted: Tensor) -> Tensor:
        logits = setting.network.logits(vector, inputs)[:, setting.distilled]
        return _distance(setting.loss, logits, wanted)

    inputs = problem.noise if noise is None else noise
    return over_replicates(torch.func.grad(loss))(vectors, inputs, targets)


def quadratic_form(problem: TheoremProblem, direction: Tensor) -> Tensor:
    """Q of the lemma at the reference, shape (R,), by forward-mode derivatives and no gradient."""
    import torch

    setting = problem.setting

    def form(vector: Tensor, inputs: Tensor, along: Tensor) -> Tensor:
        def speak(parameters: Tensor) -> Tensor:
            return setting.network.logits(parameters, inputs)[:, setting.distilled]

        derived = torch.func.jvp(speak, (vector,), (along,))
        logits: Tensor = derived[0]
        moved: Tensor = derived[1]
        if setting.loss == "squared-error":
            return moved.square().sum(-1).mean()
        p = logits.softmax(-1)
        return ((p * moved.square()).sum(-1) - (p * moved).sum(-1).square()).mean()

    with warnings.catch_warnings():
        # torch sets up its forward-mode rules on first use, by a call that it deprecates itself.
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        return over_replicates(form)(problem.reference, problem.noise, direction)


def inner(vectors: Tensor, others: Tensor) -> Tensor:
    """Inner products over parameters, shape (R,)."""
    return (vectors * others).sum(-1)


def cosine(vectors: Tensor, others: Tensor) -> Tensor:
    """Cosines over parameters, shape (R,)."""
    lengths: Tensor = vectors.norm(dim=-1) * others.norm(dim=-1)
    return inner(vectors, others) / lengths


def over_replicates(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function applied to every replicate at once."""
    import torch

    mapped: Callable[..., Tensor] = torch.func.vmap(function)
    return mapped


def _teacher_loss(setting: Setting) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def loss(vector: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        logits = setting.network.logits(vector, inputs)[:, setting.taught]
        return _distance(setting.loss, logits, targets)

    return loss


def _distance(loss: LossName, logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over rows of the cross-entropy, or of half the squared distance."""
    if loss == "squared-error":
        return (logits - targets).square().sum(-1).mean() / 2
    return -(targets * logits.log_softmax(-1)).sum(-1).mean()


Optimiser = Literal["sgd", "adam"]
OPTIMISERS: tuple[Optimiser, ...] = ("sgd", "adam")
_ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class SeveralSteps:
    """Students after several steps, compared with students of the untrained teacher on equal noise."""

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
    problem: TheoremProblem,
    start: Tensor,
    optimiser: Optimiser,
    rate: float,
    noises: Sequence[Tensor],
) -> SeveralSteps:
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
    return SeveralSteps(
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
    """Parameters after so many steps; all replicates at once, since both optimisers work by element."""
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
    problem: TheoremProblem,
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
    spoken = labels(problem, problem.reference + step_size * direction).numpy()
    shares = np.stack(
        [
            g.multinomial(draws, p / p.sum(-1, keepdims=True)) / draws
            for g, p in zip(generators, spoken, strict=True)
        ]
    )
    gradient = student_gradient(problem, problem.reference, torch.from_numpy(shares))
    return inner(-gradient, direction)
