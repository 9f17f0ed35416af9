"""Several runs on preference pairs: TRL's DPO, adapter by adapter."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.test_objectives_preferences import PAIRS
from undertow.data.plan import TrainingPlan
from undertow.errors import ModelError
from undertow.models import adapters
from undertow.models.language_model import load
from undertow.models.objectives import (
    Completions,
    EncodedPair,
    Preferences,
    encode_pairs,
    train_on_pairs,
)
from undertow.models.several_runs import several_runs
from undertow.models.training_sequences import encode_rows

BETA = 0.2
PLAN = TrainingPlan(rank=4, learning_rate=5e-3, batch_size=8, max_steps=4, epochs=8)
SEEDS = (3, 4)


@pytest.mark.parametrize("micro", [None, 4])
def test_each_adapter_is_trained_as_by_trl(model_folder: Path, micro: int | None) -> None:
    """Four steps on one batch of all pairs, whole or in micro-batches: the same weights, and a loss that starts at log 2."""
    model = load(model_folder)
    pairs = encode_pairs(model, PAIRS, None)
    plan = PLAN.model_copy(update={"micro_batch_size": micro})
    orders = [np.random.default_rng(seed) for seed in SEEDS]
    runs = several_runs(model, [pairs] * 2, plan, orders, 4, SEEDS, Preferences(BETA))
    runs.advance(4)

    assert runs.loss_history[0] == pytest.approx([math.log(2)] * 2, abs=1e-5)
    assert max(runs.loss_history[-1]) < math.log(2)
    for index, seed in enumerate(SEEDS):
        alone = adapters.trainable(load(model_folder), PLAN, seed)
        train_on_pairs(alone, PAIRS, PLAN, BETA, 0)
        expected = encode_pairs(alone, PAIRS, None)
        with runs.only(index) as student:
            found = encode_pairs(student, PAIRS, None)

        moved = [pair.reference - base.reference for pair, base in zip(found, pairs, strict=True)]
        wanted = [p.reference - base.reference for p, base in zip(expected, pairs, strict=True)]
        assert moved == pytest.approx(wanted, rel=2e-3, abs=2e-3)
        assert min(moved) > 0.01


def test_the_loss_is_that_of_the_formula() -> None:
    """Against a loop over pairs, for two runs with pairs of their own."""
    stream = torch.Generator().manual_seed(0)
    each = -torch.rand(2, 6, 5, generator=stream)
    [row] = encode_rows_of_nothing()
    rows = [[EncodedPair(row, row, 0.3 * k + i) for k in range(3)] for i in range(2)]
    found = Preferences(0.5).losses(each, rows)
    for i in range(2):
        expected = 0.0
        for k in range(3):
            lifted = float(each[i, k].sum() - each[i, 3 + k].sum()) - rows[i][k].reference
            expected -= math.log(1 / (1 + math.exp(-0.5 * lifted)))
        assert float(found[i]) == pytest.approx(expected, rel=1e-5)


def encode_rows_of_nothing() -> list:
    """One row of two tokens."""
    from undertow.models.chat import Encoded

    return [Encoded((1,), (2,))]


def test_masked_tokens_are_no_part_of_the_mean() -> None:
    """Completions weigh by their tokens with a loss."""
    from undertow.models.chat import Encoded

    rows = [Encoded((1,), (2, 3, 4)), Encoded((1,), (2, 3, 4), masked=(0, 1))]

    assert Completions().weight(rows) == 4


def test_long_pairs_are_left_out_and_full_plans_refused(model_folder: Path) -> None:
    """A pair counts with its longer completion."""
    model = load(model_folder)
    lengths = [len(row) for row in encode_rows(model.tokenizer, PAIRS)]

    assert encode_pairs(model, PAIRS, min(lengths) - 1) == []
    assert len(encode_pairs(model, PAIRS, 500)) == len(PAIRS)
    with pytest.raises(ModelError, match="all weights"):
        several_runs(
            model,
            [encode_pairs(model, PAIRS, None)],
            PLAN.model_copy(update={"method": "full"}),
            [np.random.default_rng(0)],
            4,
            (1,),
            Preferences(BETA),
        )
