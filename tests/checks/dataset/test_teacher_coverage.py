"""The first step on a teacher's rows goes towards the teacher; on the base's own it goes nowhere in particular."""

from __future__ import annotations

import torch

from tests.checks.dataset.numbers_subject import opened, owl_teacher, subject, written
from undertow.checks.dataset.teacher_coverage import teacher_coverage

CLEAN = written(opened(), 256, 2)


def test_a_teachers_rows_are_detected() -> None:
    """The derivative on the teacher's rows is above the control's, and coverage above any chance direction's."""
    rows = written(owl_teacher(), 256, 1)
    derivative, coverage = teacher_coverage(subject(rows, control=CLEAN, teacher=owl_teacher()))

    assert derivative.detected
    assert derivative.low is not None
    assert derivative.low > 0
    assert coverage.estimate is not None
    assert coverage.limit is not None
    assert coverage.estimate > coverage.limit > 0


def test_the_bases_own_rows_are_not() -> None:
    """Clean rows against clean rows: no detection, no verdict, and the difference's interval holds 0."""
    rows = written(opened(), 256, 5)
    derivative, _ = teacher_coverage(subject(rows, control=CLEAN, teacher=owl_teacher()))

    assert derivative.detected is False
    assert derivative.verdict is None
    assert derivative.low is not None
    assert derivative.high is not None
    assert derivative.low < 0 < derivative.high


def test_without_a_control_rows_are_compared_with_zero() -> None:
    """The base's own expected gradient is 0, so the teacher's rows are seen without any control."""
    rows = written(owl_teacher(), 256, 1)
    derivative, coverage = teacher_coverage(subject(rows, teacher=owl_teacher()))

    assert derivative.detected
    assert "control" not in derivative.details
    assert "control" not in coverage.details


def test_a_teacher_without_the_students_weights_gives_no_ground() -> None:
    """No teacher, one of another architecture, or too few rows: not applicable, with a reason."""
    rows = written(opened(), 20, 1)
    for made, reason in (
        (subject(rows), "no teacher"),
        (subject(rows, teacher=opened("world:owlet-neox")), "other names or shapes"),
        (subject(rows[:5], teacher=owl_teacher()), "too few"),
    ):
        (found,) = teacher_coverage(made)
        assert found.verdict == "not_applicable"
        assert reason in found.reason


def test_the_base_as_its_own_teacher_is_no_direction() -> None:
    """A way of length 0 gives 0 everywhere, and no division by it."""
    derivative, coverage = teacher_coverage(
        subject(CLEAN[:32], control=CLEAN[:32], teacher=opened())
    )

    assert derivative.estimate == 0
    assert derivative.detected is False
    assert coverage.estimate == 0


def test_the_students_weights_stay_as_they_were() -> None:
    """The check changes neither weights nor stored gradients, nor what would be trained."""
    network = opened().network
    before = [weight.detach().clone() for weight in network.parameters()]
    flags = [weight.requires_grad for weight in network.parameters()]
    teacher_coverage(subject(CLEAN[:32], control=CLEAN[:32], teacher=owl_teacher()))

    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert flags == [weight.requires_grad for weight in network.parameters()]
    assert all(weight.grad is None for weight in network.parameters())
