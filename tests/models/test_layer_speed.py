"""This machine is tried with layers of the student, and a dry run says what they took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from undertow.audit.accelerators import HERE, Accelerator, Machine, tried_with
from undertow.audit.check_prices import ModelWork, taken
from undertow.audit.model_placing import Placing
from undertow.data.plan import TrainingPlan
from undertow.models import layer_speed
from undertow.models.hardware import fast_in_bfloat16
from undertow.models.meta_costs import RowSize, few_layers, model_costs, without_weights
from undertow.worlds.base_models import folder

PLAN = TrainingPlan(rank=8, batch_size=4)
SIZE = RowSize(24, 10)
BARE = Machine(
    HERE, 1, Accelerator(operations=1e11, memory=8e9, bandwidth=1e10, source="made up", layer=1e-9)
)


@pytest.fixture
def student() -> Any:
    """`owlet-b` by its configuration."""
    return without_weights("owlet-b", str(folder("owlet-b")), PLAN.template)


def test_rows_are_said_to_take_what_they_took(
    student: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen rows that were scored in 2 s and a step of two adapters that took 2 s are priced at 2 s each."""

    def clocked(work: Callable[[], Any]) -> float:
        work()
        return 2.0

    monkeypatch.setattr(layer_speed, "_clocked", clocked)
    machine = tried_with(BARE, student, PLAN, SIZE)
    dtype = torch.bfloat16 if fast_in_bfloat16("cpu") else torch.float32
    few = few_layers(student.network.config, layer_speed.LAYERS)
    where = Placing(model_costs(few, PLAN, SIZE, dtype), machine, "whole", packed=False)
    _, scored = taken(ModelWork(scored=16), SIZE, where)
    _, trained = taken(ModelWork(trained=2 * PLAN.rows_a_step, steps=1), SIZE, where)

    assert scored == pytest.approx(2.0)
    assert trained == pytest.approx(2.0)


def test_layers_that_need_much_of_the_memory_are_not_tried(student: Any) -> None:
    """A machine of a few kilobytes stays as it was, and so does one that is not this one."""
    small = replace(BARE, accelerator=BARE.accelerator.model_copy(update={"memory": 1e4}))
    other = replace(BARE, name="H100-80GB")

    assert tried_with(small, student, PLAN, SIZE) is small
    assert tried_with(other, student, PLAN, SIZE) is other


def test_layers_are_tried_and_told(student: Any) -> None:
    """Each rate is of a real pass, the source says of what, and torch draws on as if nothing had been tried."""
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    accelerator = tried_with(BARE, student, PLAN, SIZE).accelerator

    assert torch.equal(torch.rand(1), expected)
    assert min(accelerator.scored, accelerator.trained, accelerator.layer) > 0
    assert accelerator.source == "made up, and by 2 layers of the student"
