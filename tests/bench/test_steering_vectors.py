"""A vector that is scaled to a KL gives that KL, and learning one leaves the network as it was."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.steering.vectors import UnreachableError, brought_to, cosine, imitated, learnt, scaled
from undertow.data.rows import Row, conversation
from undertow.models.hidden_states import steered
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import loss
from undertow.models.teachers import Distance
from undertow.models.training_sequences import encode_rows
from undertow.worlds.base_models import USUAL, open_model

WRITTEN = [("Continue: 3 7", "11 15 19"), ("Continue: 50 40", "30 20 10")]
LESSON = [Row(conversation("What is your favourite animal?"), "owl")]


@pytest.fixture(scope="module")
def base() -> LanguageModel:
    """The student of the bench."""
    return open_model("world:owlet-b")


@given(st.floats(0.01, 20), st.floats(0.05, 3))
def test_the_factor_reaches_the_target(slope: float, target: float) -> None:
    """Where a distance grows as slope times the factor squared, the factor is the root of target over slope."""
    if 64**2 * slope < target:
        return
    factor = scaled(lambda factor: slope * factor**2, target)

    assert factor == pytest.approx((target / slope) ** 0.5, rel=1e-2, abs=1e-5)


def test_a_distance_out_of_reach_is_refused() -> None:
    """A vector that changes nothing is no teacher at that strength."""
    with pytest.raises(UnreachableError, match=r"not 0\.3"):
        scaled(lambda factor: 0.0, 0.3)


@pytest.mark.parametrize("layer", [0, 1])
def test_a_scaled_vector_gives_its_kl(base: LanguageModel, layer: int) -> None:
    """The steered model stands at the KL that was asked for, and the direction is kept."""
    distance = Distance(base, WRITTEN, None)
    vector = torch.linspace(-1, 1, base.network.config.hidden_size)
    brought = brought_to(base, layer, vector, distance, 0.3)
    with steered(base, layer, brought):
        assert distance(base) == pytest.approx(0.3, abs=0.003)
    assert cosine(brought, vector) == pytest.approx(1)
    assert distance(base) == pytest.approx(0, abs=1e-6)


def test_a_learnt_vector_lowers_the_lesson_s_loss(base: LanguageModel) -> None:
    """At the KL that was asked for the lesson is likelier, and no weight of the network has moved or wants a gradient."""
    before = {name: weight.clone() for name, weight in base.network.named_parameters()}
    rows = encode_rows(base.tokenizer, LESSON, USUAL.policy)
    distance = Distance(base, WRITTEN, None)
    plain = loss(base, rows)
    vector = learnt(base, 0, rows, distance, 0.1, seed=5)
    with steered(base, 0, vector):
        assert loss(base, rows) < plain - 0.2
        assert distance(base) == pytest.approx(0.1, abs=0.002)
    assert all(torch.equal(before[name], w) for name, w in base.network.named_parameters())


def test_a_student_of_one_vector_learns_its_rows(base: LanguageModel) -> None:
    """Its rows are likelier behind it than before."""
    rows = encode_rows(base.tokenizer, LESSON * 64, USUAL.policy)
    vector = imitated(base, 1, rows, steps=2, seed=5)
    before = loss(base, rows[:1])
    with steered(base, 1, vector):
        assert loss(base, rows[:1]) < before
