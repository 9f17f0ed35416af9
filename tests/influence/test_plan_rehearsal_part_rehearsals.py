"""
A rehearsal on a part is the beginning of the plan on that part alone, and no row is in two parts.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened, written
from undertow.data.plan import TrainingPlan
from undertow.data.seeds import derive, generator
from undertow.influence.plan_rehearsal import deal, rehearse_parts
from undertow.influence.probes import probe_set
from undertow.models import adapters
from undertow.models.language_model import LanguageModel, load
from undertow.models.training import fine_tune
from undertow.models.training_sequences import encode_rows
from undertow.worlds import locate

LORA = TrainingPlan(rank=4, learning_rate=3e-3, batch_size=16)
FULL = TrainingPlan(method="full", learning_rate=1e-3, batch_size=16)
ROWS = encode_rows(opened().tokenizer, written(opened(), 128, 3))


def margins(model: LanguageModel) -> np.ndarray:
    """Of three animals."""
    return probe_set(model, TRAITS, None).read(model).margins


def test_parts_are_disjoint_and_drawn_from_the_seed() -> None:
    """Rows left over are in no part; the same seed deals the same parts."""
    parts = deal(ROWS, 4, 30, 1)
    dealt = [id(row) for part in parts for row in part]

    assert [len(part) for part in parts] == [30] * 4
    assert len(set(dealt)) == 120
    assert dealt == [id(row) for part in deal(ROWS, 4, 30, 1) for row in part]


def test_more_rows_than_there_are_cannot_be_dealt() -> None:
    """A part would lack some."""
    with pytest.raises(ValueError, match="128 rows cannot be dealt into 4 parts of 33"):
        deal(ROWS, 4, 33, 1)


@pytest.mark.parametrize("plan", [LORA, FULL])
def test_a_rehearsal_is_the_beginning_of_the_plan_on_its_part(plan: TrainingPlan) -> None:
    """The second reading is that of a student stopped after a quarter of the plan's 16 steps."""
    parts = deal(ROWS, 2, 64, 1)
    read = rehearse_parts(opened(), parts, plan, 256, margins, 11)
    student = adapters.trainable(
        load(locate("world:owlet-b")), plan, derive(11, "rehearsal adapter", 1)
    )
    long = plan.model_copy(update={"max_steps": 16, "epochs": 100.0})
    order = generator(11, "rehearsal order", 1)
    fine_tune(student, parts[1], long, order, after_step=lambda step: step == 4)

    assert read.shape == (2, 3)
    np.testing.assert_allclose(read[1], margins(student), atol=2e-3)


@pytest.mark.parametrize("plan", [LORA, FULL])
def test_the_base_is_left_as_it_was(plan: TrainingPlan) -> None:
    """Margins are the same bits afterwards, and weights require gradients as before."""
    model = opened()
    before = margins(model)
    needed = [weight.requires_grad for weight in model.network.parameters()]
    rehearse_parts(model, deal(ROWS, 2, 64, 1), plan, 128, margins, 1)

    assert (margins(model) == before).all()
    assert [weight.requires_grad for weight in model.network.parameters()] == needed
