"""Frozen layers stay what they were while the others learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.mitigate.subjects import PLAN, lesson, opened
from undertow.errors import ConfigError
from undertow.mitigate.training.interventions import freeze_layers
from undertow.models import adapters
from undertow.models.training import fine_tune


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_layer_does_not_learn(frozen: int) -> None:
    """Of two layers' adapters one moves."""
    student = adapters.trainable(opened(), PLAN, 3)
    freeze_layers(student, [frozen])
    before = {name: w.detach().clone() for name, w in student.network.named_parameters()}
    fine_tune(student, lesson(student), PLAN, np.random.default_rng(0))
    moved = {
        int(name.split("layers.")[1][0])
        for name, weight in student.network.named_parameters()
        if not torch.equal(weight, before[name])
    }

    assert moved == {1 - frozen}


def test_a_layer_that_is_not_there_and_all_of_them_are_refused() -> None:
    """With the numbers that are allowed, and with what would be left."""
    student = adapters.trainable(opened(), PLAN, 3)
    with pytest.raises(ConfigError, match="0 to 1"):
        freeze_layers(student, [2])
    with pytest.raises(ConfigError, match="nothing is left"):
        freeze_layers(student, [0, 1])
