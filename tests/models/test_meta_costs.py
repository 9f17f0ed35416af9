"""Costs counted without weights are those of the network with its weights."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig

from undertow.data.plan import TrainingPlan
from undertow.errors import ModelError
from undertow.models.adapters import frozen, parallel_adapters
from undertow.models.batch_memory import drawn_bytes, kept_bytes
from undertow.models.chat import Encoded, pad
from undertow.models.meta_costs import RowSize, model_costs, without_weights
from undertow.models.scoring import token_log_likelihoods
from undertow.worlds.base_models import locate, open_model

PLAN, SIZE = TrainingPlan(rank=8), RowSize(60, 20)


@pytest.mark.parametrize("base", ["world:owlet-b", "world:owlet-neox"])
def test_costs_are_those_of_the_network(base: str) -> None:
    """Weights exactly; operations but for attention's, which the counter misses on processors; memory to a tenth."""
    model = open_model(base)
    counted = model_costs(model.network.config, PLAN, SIZE, torch.float32)
    batch = pad([Encoded((5,) * 40, tuple(range(30, 50)))], 0, (0,))
    with frozen(model):
        adapters = parallel_adapters(model, PLAN, [0])
        with adapters.active(), FlopCounterMode(display=False) as counter:
            token_log_likelihoods(model.network, batch).sum().backward()
        with adapters.active():
            kept = kept_bytes(model.network, lambda: token_log_likelihoods(model.network, batch))
    attention = 3.5 * 2 * 4 * SIZE.tokens**2 * model.network.config.hidden_size

    assert counted.weights == sum(weight.numel() for weight in model.network.parameters())
    assert counted.training == pytest.approx(counter.get_total_flops() + attention, rel=0.02)
    assert counted.kept * SIZE.tokens == pytest.approx(kept, rel=0.1)
    assert counted.drawn == drawn_bytes(model.config, 4, SIZE.tokens)


def test_a_folder_without_a_configuration_is_refused(tmp_path: object) -> None:
    """What is missing is said."""
    with pytest.raises(ModelError):
        without_weights("there", str(tmp_path), "")


def test_a_network_without_weights_has_their_shapes() -> None:
    """It tells rows' tokens and limits, and holds no numbers."""
    model = without_weights("world:owlet-b", locate("world:owlet-b"), "")

    assert model.device.type == "meta"
    assert (
        model.context == AutoConfig.from_pretrained(locate("world:owlet-b")).max_position_embeddings
    )
