"""Operations of a forward pass and of a step, against counts made by hand."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bench.real.operations import (
    NetworkShape,
    forward_operations,
    shape_of,
    training_operations,
)
from bench.real.sampling import kept_tokens

SMOL = NetworkShape(106_168_320, 30, 576, 576, 49_152)
"""SmolLM2-135M, from its config: 30 layers of 2 * 576**2 + 2 * 576 * 192 + 3 * 576 * 1536 weights."""


def test_one_token_of_smollm2_takes_what_its_matrices_hold():
    """Two operations a weight and for each of 576 x 49,152 of the head, and 4 * 30 * 576 for the token that sees itself."""
    assert forward_operations(SMOL, [1], 1) == 2 * 106_168_320 + 4 * 30 * 576 + 2 * 28_311_552


def test_a_row_pays_for_what_each_token_sees():
    """Three tokens see 1 + 2 + 3 tokens; without scored positions the head costs nothing."""
    assert forward_operations(NetworkShape(0, 1, 1, 7, 7), [3], 0) == 4 * 6


def test_a_step_computes_frozen_matrices_twice_and_adapters_thrice():
    """Forward and one backward for what is frozen, a second one for what is trained and for attention."""
    shape = NetworkShape(10, 1, 2, 3, 5)
    frozen = 2 * (2 * 10 * 2 + 2 * 3 * 5)
    assert training_operations(shape, 4, [2], 1) == frozen + 3 * 4 * 2 * 3 + 6 * 4 * 2


def test_the_profiler_of_torch_counts_the_same_products():
    """An independent count: torch's own, of the products of a small Llama, without attention's."""
    from torch.utils.flop_counter import FlopCounterMode

    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    network = LlamaForCausalLM(config)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(input_ids=torch.arange(12).view(2, 6), logits_to_keep=3)
    shape = shape_of(network)
    products = counter.get_flop_counts()["Global"][torch.ops.aten.mm]
    attention = forward_operations(NetworkShape(0, 2, 16, 0, 0), [6, 6], 0)
    assert forward_operations(shape, [6, 6], 2 * 3) - attention == pytest.approx(products)


def test_an_answer_ends_with_its_first_ending_token():
    """The ending token counts, what is padded behind it does not, and an answer without one counts whole."""
    assert kept_tokens([[5, 2, 2, 2], [5, 6, 7, 8]], frozenset([2])) == 2 + 4
