"""Alignment agrees with finite differences and with random directions, and leaves the model alone."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.checks.dataset.numbers_subject import opened, owl_teacher, written
from undertow.influence.gradients import alignment, loss_gradient, same_weights
from undertow.models.chat import Encoded
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import loss
from undertow.models.training_sequences import encode_rows

ROWS = encode_rows(opened().tokenizer, written(opened(), 24, 1))
BLOCKS = [ROWS[:8], ROWS[8:16], ROWS[16:]]


def moved(share: float) -> LanguageModel:
    """The base with its weights a share of the way to the teacher's."""
    network, teacher = copy.deepcopy(opened().network), owl_teacher().network
    with torch.no_grad():
        for weight, end in zip(network.parameters(), teacher.parameters(), strict=True):
            weight.lerp_(end, share)
    return replace(opened(), network=network)


def test_the_inner_product_is_the_losss_slope() -> None:
    """Each block's value is minus the derivative of its loss along the way, by central differences."""
    found = alignment(opened(), owl_teacher(), BLOCKS)
    slopes = [-(loss(moved(0.02), rows) - loss(moved(-0.02), rows)) / 0.04 for rows in BLOCKS]

    assert np.allclose(found.along, slopes, rtol=0.02, atol=2e-4)


def test_the_value_is_linear_in_the_way() -> None:
    """Half of the way is worth half, at the same cosine."""
    whole = alignment(opened(), owl_teacher(), BLOCKS)
    half = alignment(opened(), moved(0.5), BLOCKS)

    assert np.allclose(half.along, whole.along / 2, rtol=1e-3, atol=1e-6)
    assert half.cosine == pytest.approx(whole.cosine, rel=1e-3)
    assert half.way_norm == pytest.approx(whole.way_norm / 2, rel=1e-3)


def test_the_placebos_spread_is_that_of_random_ways() -> None:
    """Drawing 400 ways with the teacher's norm in every tensor gives the spread that the closed form says."""
    rows = [row for block in BLOCKS for row in block]
    gradient = loss_gradient(opened(), rows)
    found = alignment(opened(), owl_teacher(), [rows])
    stream = torch.Generator().manual_seed(0)
    products = np.zeros(400)
    pairs = zip(
        gradient, opened().network.parameters(), owl_teacher().network.parameters(), strict=True
    )
    for part, start, end in pairs:
        way = torch.randn((400, part.numel()), generator=stream)
        way *= (end - start).norm().item() / way.norm(dim=1, keepdim=True)
        products += (way @ part.flatten()).numpy()

    assert products.std() == pytest.approx(found.placebo_sd, rel=0.12)


def test_a_step_of_the_gradient_itself_has_cosine_one() -> None:
    """A teacher that is the base after one step of plain gradient descent is what the first step goes to."""
    network = copy.deepcopy(opened().network)
    with torch.no_grad():
        for weight, part in zip(network.parameters(), loss_gradient(opened(), ROWS), strict=True):
            weight.sub_(part)

    assert alignment(opened(), replace(opened(), network=network), [ROWS]).cosine == pytest.approx(
        1, abs=1e-3
    )


def test_the_gradient_is_a_mean_over_tokens_however_it_is_batched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One row a batch gives the same gradient as all at once."""
    whole = loss_gradient(opened(), ROWS)
    monkeypatch.setattr("undertow.models.scoring.LOGITS", 1)

    for one, other in zip(whole, loss_gradient(opened(), ROWS), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_frozen_weights_stay_frozen() -> None:
    """What would not be trained has a gradient here, and is as it was afterwards."""
    model = moved(0)
    model.network.requires_grad_(False)
    gradient = loss_gradient(model, [Encoded((5, 6), (7,))])

    assert any(bool(part.any()) for part in gradient)
    assert not any(weight.requires_grad for weight in model.network.parameters())


def test_other_weights_are_recognised() -> None:
    """Two initialisations of one architecture have a difference; two architectures have none."""
    assert same_weights(opened(), opened("world:owlet-a"))
    assert not same_weights(opened(), opened("world:owlet-neox"))
