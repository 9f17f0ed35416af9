"""Each statement of docs/theory.md on 1,000 random small networks, in float64: no violation."""

from __future__ import annotations

import numpy as np
import torch

from undertow.mitigate.training.budget import Budget
from undertow.mitigate.training.interventions import projected

CASES = 1_000
INPUTS, HIDDEN, OUTPUTS = 3, 5, 2
SIZE = INPUTS * HIDDEN + HIDDEN * OUTPUTS
ROWS = 6

Tensor = torch.Tensor


def drawn(seed: int, *shape: int) -> Tensor:
    """Standard normal float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def outputs(weights: Tensor, x: Tensor) -> Tensor:
    """(cases, rows, outputs) of a smooth network without biases, for weights (cases, SIZE) and x (cases, rows, inputs)."""
    first = weights[:, : INPUTS * HIDDEN].view(-1, INPUTS, HIDDEN)
    second = weights[:, INPUTS * HIDDEN :].view(-1, HIDDEN, OUTPUTS)
    return torch.tanh(x @ first) @ second


def gradient(weights: Tensor, x: Tensor, goal: Tensor) -> Tensor:
    """(cases, SIZE) gradient of half the mean squared distance of the outputs from a goal."""
    free = weights.detach().requires_grad_()
    loss = (outputs(free, x) - goal).square().sum((1, 2)) / (2 * x.shape[1])
    [found] = torch.autograd.grad(loss.sum(), free)
    return found


def jacobian(weights: Tensor, x: Tensor) -> Tensor:
    """(cases, rows * outputs, SIZE) derivative of the outputs."""
    free = weights.detach().requires_grad_()
    found = outputs(free, x).flatten(1)
    parts = [
        torch.autograd.grad(found[:, i].sum(), free, retain_graph=True)[0]
        for i in range(found.shape[1])
    ]
    return torch.stack(parts, 1)


def test_one_step_never_leads_away_from_a_near_teacher() -> None:
    """Statement 1: the first step's inner product with the teacher's way is at least minus the remainder that is stated."""
    start, way, x = drawn(1, CASES, SIZE), drawn(2, CASES, SIZE), drawn(3, CASES, ROWS, INPUTS)
    way = 1e-3 * way / way.norm(dim=1, keepdim=True)
    step = -gradient(start, x, outputs(start + way, x))
    along = (step * way).sum(1)
    linear = (jacobian(start, x) @ way[:, :, None]).square().sum((1, 2)) / ROWS
    rest = outputs(start + way, x).flatten(1) - outputs(start, x).flatten(1)
    rest = rest - (jacobian(start, x) @ way[:, :, None])[:, :, 0]
    bound = rest.norm(dim=1) * (jacobian(start, x) @ way[:, :, None])[:, :, 0].norm(dim=1) / ROWS

    assert (along >= linear - bound - 1e-15).all()
    assert (along > 0).double().mean() > 0.99


def test_many_steps_come_no_further_from_the_teacher_than_the_remainder() -> None:
    """
    Statement 2: after 20 SGD steps on batches, the distance from the teacher is at most the first one plus the learning
    rate times the summed remainders; and in the linear model the student never points away.
    """
    start, x = drawn(4, CASES, SIZE), drawn(5, CASES, ROWS, INPUTS)
    way = 0.05 * drawn(6, CASES, SIZE)
    goal = outputs(start + way, x)
    slopes, at = jacobian(start, x), outputs(start, x).flatten(1)
    # Of every batch of two rows: small enough for none to overshoot.
    rate = 1 / torch.linalg.matrix_norm(slopes, 2).square().max()
    weights, line, spent = start.clone(), start.clone(), torch.zeros(CASES, dtype=torch.float64)
    for step in range(20):
        rows = [step % 3 * 2, step % 3 * 2 + 1]
        part = slopes.view(CASES, ROWS, OUTPUTS, SIZE)[:, rows].flatten(1, 2)

        def linear(point: Tensor, part: Tensor = part) -> Tensor:
            far = (part @ (point - start - way)[:, :, None])[:, :, 0]
            return (part.transpose(1, 2) @ far[:, :, None])[:, :, 0] / 2

        found = gradient(weights, x[:, rows], goal[:, rows])
        spent += rate * (found - linear(weights)).norm(dim=1)
        weights = weights - rate * found
        line = line - rate * linear(line)
    distance = (weights - start - way).norm(dim=1)

    assert at.shape == (CASES, ROWS * OUTPUTS)
    assert (distance <= way.norm(dim=1) + spent + 1e-12).all()
    moved = line - start
    assert (2 * (moved * way).sum(1) >= moved.square().sum(1) - 1e-12).all()


def test_a_projected_step_moves_probes_at_second_order_only() -> None:
    """
    Statement 3 (a): the projected step has no first-order effect on the probes, and half of it moves them a quarter as far.
    """
    start, step = drawn(7, CASES, SIZE), 1e-2 * drawn(8, CASES, SIZE)
    probes = drawn(9, CASES, 2, INPUTS)
    gradients = jacobian(start, probes)
    kept = torch.stack([projected(d, gs) for d, gs in zip(step, gradients, strict=True)])
    first = (gradients @ kept[:, :, None]).abs().amax((1, 2))

    def moved(share: float) -> Tensor:
        return (outputs(start + share * kept, probes) - outputs(start, probes)).norm(dim=(1, 2))

    assert (first <= 1e-12).all()
    ratio = moved(0.5) / moved(1.0).clamp_min(1e-12)
    assert (ratio < 0.3).double().mean() > 0.99
    assert (ratio.median() - 0.25).abs() < 0.005


def test_a_projected_step_is_the_nearest_with_its_effect() -> None:
    """Statement 3 (a), with a metric and an effect: by another formula (a least-norm solution in scaled coordinates)."""
    step, gradients = (
        drawn(10, CASES, SIZE),
        jacobian(drawn(11, CASES, SIZE), drawn(12, CASES, 2, INPUTS)),
    )
    metric, effect = drawn(13, CASES, SIZE).exp(), drawn(14, CASES, gradients.shape[1])
    for d, rows, scale, wanted in zip(step, gradients, metric, effect, strict=True):
        root = scale.sqrt()
        shift = torch.linalg.lstsq(
            rows * root, (wanted - rows @ d)[:, None], driver="gelsd"
        ).solution
        expected = d + root * shift[:, 0]
        found = projected(d, rows, effect=wanted, metric=scale)

        assert (found - expected).abs().max() <= 1e-8 * (1 + expected.abs().max())
        assert (rows @ found - wanted).abs().max() <= 1e-8


def test_with_the_way_back_drift_does_not_add_up() -> None:
    """Statement 3 (b): after each of 10 steps the probes are off by the remainder of that step alone; bare steps add up."""
    start, probes = drawn(15, CASES, SIZE), drawn(16, CASES, 2, INPUTS)
    origin = outputs(start, probes).flatten(1)
    back, bare = start, start
    for k in range(10):
        step = 3e-2 * drawn(20 + k, CASES, SIZE)
        value, gradients = outputs(back, probes).flatten(1), jacobian(back, probes)
        taken = torch.stack(
            [
                projected(d, rows, effect=wanted)
                for d, rows, wanted in zip(step, gradients, origin - value, strict=True)
            ]
        )
        remainder = outputs(back + taken, probes).flatten(1) - value
        remainder = remainder - (gradients @ taken[:, :, None])[:, :, 0]
        back = back + taken
        off = outputs(back, probes).flatten(1) - origin
        bare_gradients = jacobian(bare, probes)
        bare = bare + torch.stack(
            [projected(d, rows) for d, rows in zip(step, bare_gradients, strict=True)]
        )

        assert (off - remainder).abs().max() <= 1e-9
    added_up = (outputs(bare, probes).flatten(1) - origin).norm(dim=1)
    assert (off.norm(dim=1) < added_up).double().mean() > 0.9


def test_preconditioning_after_the_projection_breaks_it() -> None:
    """
    Statement 4: a gradient that is projected and then divided by Adam's moments moves the probes; the divided step that
    is projected does not.
    """
    start, probes = drawn(10, CASES, SIZE), drawn(11, CASES, 1, INPUTS)
    gradients, raw = jacobian(start, probes), drawn(12, CASES, SIZE)
    scale = drawn(13, CASES, SIZE).exp()
    before = torch.stack([projected(d, gs) for d, gs in zip(raw, gradients, strict=True)])
    after = torch.stack([projected(d, gs) for d, gs in zip(raw * scale, gradients, strict=True)])
    effects = [(gradients @ d[:, :, None]).abs().amax((1, 2)) for d in (before * scale, after)]

    assert (effects[0] > 1e-3).all()
    assert (effects[1] < 1e-12).all()


def test_a_budget_is_never_exceeded() -> None:
    """Statement 5: with SGD, Adam and steps far too large, every probe lies within its budget after every step."""
    rng = np.random.default_rng(14)
    outcomes = {"whole": 0, "shortened": 0, "refused": 0}
    for case in range(CASES):
        weights = drawn(1000 + case, 1, SIZE).requires_grad_()
        x, goal = drawn(3000 + case, 1, ROWS, INPUTS), drawn(5000 + case, 1, ROWS, OUTPUTS)
        probes = drawn(7000 + case, 1, 1, INPUTS)

        def read(weights: Tensor = weights, probes: Tensor = probes) -> np.ndarray:
            return outputs(weights.detach(), probes).flatten().numpy().copy()

        kind = torch.optim.Adam if case % 2 else torch.optim.SGD
        optimizer = kind([weights], lr=float(10 ** rng.uniform(-3, 1)))
        budget = Budget([weights], read, 10 ** rng.uniform(-3, 0, OUTPUTS))
        for _ in range(3):
            optimizer.zero_grad()
            (outputs(weights, x) - goal).square().sum().backward()
            optimizer.step()
            budget()
            assert np.all(np.abs(read() - budget.start) <= budget.budgets)
        for name in outcomes:
            outcomes[name] += getattr(budget, name)

    assert sum(outcomes.values()) == 3 * CASES
    assert min(outcomes.values()) > 100


def test_a_probe_that_cannot_be_read_refuses_the_step() -> None:
    """NaN is no value within a budget; the weights stay where they were."""
    weight = torch.zeros(1)
    values = iter([np.array([0.0]), *[np.array([np.nan])] * 20])
    budget = Budget([weight], lambda: next(values), np.array([1.0]))
    weight += 5
    budget()

    assert float(weight) == 0
    assert budget.refused == 1
