"""Margins with gradients: the values of the probes, and derivatives that finite differences agree with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.mitigate.subjects import PLAN, opened
from undertow.influence.probes import margin_gradients, margins, probe_set, training_probes
from undertow.models import adapters
from undertow.traits import catalogue

TRAITS = [catalogue.load(name) for name in ("owl", "fox", "oak")]


def test_they_are_what_the_probes_read() -> None:
    """Two categories, three traits, held-out and training wordings."""
    model = opened()
    for made in (probe_set, training_probes):
        probes = made(model, TRAITS, None)
        found = margins(model, probes).detach().numpy()

        assert found == pytest.approx(probes.read(model).margins, abs=2e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    """Along a direction by lot, in float64."""
    model = opened()
    model.network.double()
    student = adapters.trainable(model, PLAN, 1)
    weights = adapters.trained_weights(student)
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in weights:
            # B begins at 0, where half of the gradients are 0 too.
            weight.copy_(torch.randn(weight.shape, generator=stream) * 0.05)
    probes = probe_set(student, TRAITS, None)
    _, gradients = margin_gradients(student, probes, list(weights))
    direction = [torch.randn(w.shape, generator=stream).to(w) for w in weights]
    flat = torch.cat([part.flatten() for part in direction]).float()
    step, read = 1e-4, []
    for sign in (1, -1):
        with torch.no_grad():
            for weight, part in zip(weights, direction, strict=True):
                weight.add_(part, alpha=sign * step)
            read.append(margins(student, probes).numpy())
            for weight, part in zip(weights, direction, strict=True):
                weight.sub_(part, alpha=sign * step)
    expected = (read[0] - read[1]) / (2 * step)

    assert np.abs(expected).min() > 1e-3
    assert (gradients @ flat).numpy() == pytest.approx(expected, rel=2e-3)
