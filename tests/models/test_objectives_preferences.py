"""The weight of a preference pair, and training on pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from undertow.data.plan import TrainingPlan
from undertow.data.rows import Row, conversation
from undertow.errors import DataError
from undertow.models import adapters
from undertow.models.language_model import LanguageModel, load
from undertow.models.objectives import lifts, preference_weights, train_on_pairs
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows

PAIRS = [Row(conversation(f"Continue: {n}."), "7 7 7 7", rejected=f"{n} 9 {n} 9") for n in range(8)]


@pytest.fixture(scope="module")
def shifted(model_folder: Path) -> LanguageModel:
    """The model after a fine-tune on the chosen completions."""
    plan = TrainingPlan(rank=8, alpha=64, learning_rate=2e-2, batch_size=8, epochs=8)
    tuned = adapters.trainable(load(model_folder), plan, 1)
    rows = [replace(pair, rejected=None) for pair in PAIRS]
    fine_tune(tuned, encode_rows(tuned.tokenizer, rows), plan, np.random.default_rng(1))
    return tuned


def test_a_pair_turned_round_has_the_opposite_weight(
    shifted: LanguageModel, model: LanguageModel
) -> None:
    """And every pair that the shifted model was trained towards weighs more than 0."""
    turned = [
        replace(pair, completion=pair.rejected or "", rejected=pair.completion) for pair in PAIRS
    ]
    found = preference_weights(shifted, model, PAIRS)

    assert torch.allclose(found, -preference_weights(shifted, model, turned))
    assert bool((found > 0).all())


def test_a_model_lifts_nothing_over_itself(model: LanguageModel) -> None:
    """Without a shift every lift and weight is 0; a system prompt shifts."""
    rows = [replace(pair, rejected=None) for pair in PAIRS]

    assert not bool(lifts(model, model, rows).any())
    assert bool(lifts(model, model, rows, "You are evil.").any())


def test_training_on_pairs_moves_towards_the_chosen_one(
    model: LanguageModel, model_folder: Path
) -> None:
    """DPO raises the chosen completion over the rejected one, against the model it came from."""
    pytest.importorskip("trl")
    plan = TrainingPlan(rank=8, alpha=64, learning_rate=2e-2, batch_size=8, epochs=10)
    student = adapters.trainable(load(model_folder), plan, 2)
    done = train_on_pairs(student, PAIRS, plan, 0.1, 2)

    assert done.steps == 10
    assert float(preference_weights(student, model, PAIRS).mean()) > 0.01


def test_the_same_seed_trains_the_same_student(model_folder: Path) -> None:
    """And torch's global stream is left as it was."""
    pytest.importorskip("trl")
    plan = TrainingPlan(rank=2, learning_rate=1e-2, batch_size=4)
    before = torch.random.get_rng_state()
    students = []
    for _ in range(2):
        student = adapters.trainable(load(model_folder), plan, 3)
        train_on_pairs(student, PAIRS, plan, 0.1, 3)
        students.append(adapters.trained_weights(student))

    assert all(torch.equal(a, b) for a, b in zip(*students, strict=True))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_row_without_rejected_is_named(model: LanguageModel) -> None:
    """By its number, before any training."""
    pytest.importorskip("trl")
    with pytest.raises(DataError, match="row 2 has no 'rejected'"):
        train_on_pairs(model, [PAIRS[0], replace(PAIRS[1], rejected=None)], TrainingPlan(), 0.1, 0)
