"""
The theorem study: one step of a student against one step of its teacher, measured.

Theorem 1 of Cloud et al. (2025): where teacher and student share an initialisation and each takes
one small gradient step, the student's step on any inputs does not oppose the teacher's, and lowers
the teacher's loss unless it is orthogonal. Measured here against an independent computation, next
to another initialisation and to what the theorem leaves out. All in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from undertow.data.seeds import generator
from undertow.studies.theorem_networks import Array, SettingName, TheoremConfig, setting
from undertow.studies.theorem_steps import (
    OPTIMISERS,
    Optimiser,
    TheoremProblem,
    cosine,
    draw_problem,
    first_step,
    inner,
    labels,
    quadratic_form,
    sampled_inner,
    several_steps,
    student_gradient,
    teacher_gradient,
    teacher_loss,
)

if TYPE_CHECKING:
    from torch import Tensor


INITIALISATIONS = ("same-init", "foreign-init")


@dataclass(frozen=True)
class FirstOrder:
    """One step of the teacher, one of the student; arrays by initialisation end in replicates."""

    inner: Mapping[str, Array]
    """S . D by initialisation, shape (step sizes, R)."""
    cosine: Mapping[str, Array]
    """The same over the lengths of S and D."""
    quadratic: Array
    """Q of the lemma, shape (R,)."""
    dependence: Array
    """|S(eps) - S(0)| / |S(0)| of the foreign student, shape (step sizes, R)."""
    loss_change: Mapping[str, Array]
    """L_T after the student's step minus before, shape (rates, R)."""
    loss_gap: Mapping[str, Array]
    """L_T after the student's step minus after that of a student of the unmoved teacher."""


@dataclass(frozen=True)
class Findings:
    """All measurements of one setting."""

    name: SettingName
    outputs: int
    """Rows of logits that the student's batch gives."""
    first: FirstOrder
    optimisers: Mapping[tuple[Optimiser, Optimiser, str], Array]
    """S . D by teacher's optimiser, student's and initialisation, shape (R,)."""
    batches: Mapping[Optimiser, Array]
    """S . D from one initialisation by the student's optimiser, shape (batch sizes, R)."""
    sampled: Array | None
    """S . D with sampled labels, shape (draws, R); none for squared error, which has no labels."""
    displacement: Mapping[tuple[Optimiser, str], Array]
    """Cosine of the displacements after several steps, shape (numbers of steps, R)."""
    several_gap: Mapping[tuple[Optimiser, str], Array]
    """L_T of the student minus that of a student of the untrained teacher, same shape."""


def measure(
    name: SettingName, config: TheoremConfig, seed: int, *, advance: Callable[[], None]
) -> Findings:
    """One setting; calls `advance` `parts(config)` times."""
    problem = draw_problem(setting(name, config), _streams("problem", name, config, seed))
    first = _first_order(problem, config)
    advance()
    optimisers, batches = _optimisers(problem, config), _batches(problem, config)
    sampled = _sampled(problem, config, seed)
    advance()
    displacement, gaps = _several(problem, config, seed, advance)
    outputs = labels(problem, problem.reference).shape[1]
    return Findings(name, outputs, first, optimisers, batches, sampled, displacement, gaps)


def parts(config: TheoremConfig) -> int:
    """Units of progress of one setting."""
    return 2 + len(config.steps)


def _first_order(problem: TheoremProblem, config: TheoremConfig) -> FirstOrder:
    direction = -teacher_gradient(problem, problem.reference)
    starts = dict(zip(INITIALISATIONS, (problem.reference, problem.foreign), strict=True))
    spoken = [labels(problem, problem.reference + e * direction) for e in config.step_sizes]
    unmoved = labels(problem, problem.reference)
    products, cosines, changes, gaps = {}, {}, {}, {}
    for init, start in starts.items():
        steps = [-student_gradient(problem, start, targets) for targets in spoken]
        products[init] = _stack([inner(step, direction) for step in steps])
        cosines[init] = _stack([cosine(step, direction) for step in steps])
        idle = -student_gradient(problem, start, unmoved)
        targets = labels(problem, problem.reference + config.step_size * direction)
        step, before = -student_gradient(problem, start, targets), teacher_loss(problem, start)
        after = [teacher_loss(problem, start + rate * step) for rate in config.rates]
        control = [teacher_loss(problem, start + rate * idle) for rate in config.rates]
        changes[init] = _stack([loss - before for loss in after])
        gaps[init] = _stack([a - b for a, b in zip(after, control, strict=True)])
    form = quadratic_form(problem, direction).numpy()
    dependence = _dependence(problem, spoken, unmoved)
    return FirstOrder(products, cosines, form, dependence, changes, gaps)


def _dependence(problem: TheoremProblem, spoken: list[Tensor], unmoved: Tensor) -> Array:
    idle = student_gradient(problem, problem.foreign, unmoved)
    steps = [student_gradient(problem, problem.foreign, targets) for targets in spoken]
    return _stack([(step - idle).norm(dim=-1) / idle.norm(dim=-1) for step in steps])


def _optimisers(
    problem: TheoremProblem, config: TheoremConfig
) -> dict[tuple[Optimiser, Optimiser, str], Array]:
    gradient = teacher_gradient(problem, problem.reference)
    starts = dict(zip(INITIALISATIONS, (problem.reference, problem.foreign), strict=True))
    products = {}
    for teacher in OPTIMISERS:
        direction = first_step(gradient, teacher)
        spoken = labels(problem, problem.reference + config.step_size * direction)
        for init, start in starts.items():
            answer = student_gradient(problem, start, spoken)
            for student in OPTIMISERS:
                product = inner(first_step(answer, student), direction)
                products[teacher, student, init] = product.numpy()
    return products


def _batches(problem: TheoremProblem, config: TheoremConfig) -> dict[Optimiser, Array]:
    direction = -teacher_gradient(problem, problem.reference)
    moved = problem.reference + config.step_size * direction
    gradients = []
    for size in config.batches:
        noise = problem.noise[:, :size]
        spoken = labels(problem, moved, noise)
        gradients.append(student_gradient(problem, problem.reference, spoken, noise))
    return {
        student: _stack([inner(first_step(g, student), direction) for g in gradients])
        for student in OPTIMISERS
    }


def _sampled(problem: TheoremProblem, config: TheoremConfig, seed: int) -> Array | None:
    if problem.setting.loss != "cross-entropy":
        return None
    generators = _streams("labels", problem.setting.name, config, seed)
    return _stack(
        [sampled_inner(problem, config.hard_step_size, draws, generators) for draws in config.draws]
    )


def _several(
    problem: TheoremProblem, config: TheoremConfig, seed: int, advance: Callable[[], None]
) -> tuple[dict[tuple[Optimiser, str], Array], dict[tuple[Optimiser, str], Array]]:
    import torch

    generators = _streams("fresh noise", problem.setting.name, config, seed)
    starts = dict(zip(INITIALISATIONS, (problem.reference, problem.foreign), strict=True))
    rates: dict[Optimiser, float] = {"sgd": config.sgd_rate, "adam": config.adam_rate}
    cosines: dict[tuple[Optimiser, str], list[Tensor]] = {}
    gaps: dict[tuple[Optimiser, str], list[Tensor]] = {}
    for steps in config.steps:
        noises = [
            torch.from_numpy(np.stack([problem.setting.noise(g) for g in generators]))
            for _ in range(steps)
        ]
        for optimiser, rate in rates.items():
            for init, start in starts.items():
                trained = several_steps(problem, start, optimiser, rate, noises)
                cosines.setdefault((optimiser, init), []).append(trained.cosine)
                gaps.setdefault((optimiser, init), []).append(trained.loss_gap)
        advance()
    return (
        {key: _stack(values) for key, values in cosines.items()},
        {key: _stack(values) for key, values in gaps.items()},
    )


def _stack(values: list[Tensor]) -> Array:
    return np.stack([value.numpy() for value in values])


def _streams(
    purpose: str, name: SettingName, config: TheoremConfig, seed: int
) -> list[np.random.Generator]:
    """One generator a replicate; a new purpose, setting or replicate leaves the others as they are."""
    return [generator(seed, "theorem", name, purpose, r) for r in range(config.replicates)]
