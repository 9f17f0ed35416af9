"""Hidden units of networks of several families."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from undertow.checks.lineage.hidden_units import layers_of
from undertow.models.checkpoint import open_checkpoint


@pytest.mark.parametrize(
    ("name", "shapes", "config", "inward", "outward"),
    [
        (
            "gpt2",
            {"h.0.mlp.c_fc.weight": (8, 32), "h.0.mlp.c_proj.weight": (32, 8)},
            {"n_embd": 8},
            1,
            1,
        ),
        (
            "phi3",
            {
                "model.layers.3.mlp.gate_up_proj.weight": (64, 8),
                "model.layers.3.mlp.down_proj.weight": (8, 32),
                "model.layers.3.self_attn.qkv_proj.weight": (24, 8),
            },
            {"hidden_size": 8, "intermediate_size": 32},
            1,
            1,
        ),
        (
            "mixtral",
            {"model.layers.0.block_sparse_moe.experts.0.w1.weight": (32, 8)},
            {"hidden_size": 8, "intermediate_size": 32},
            0,
            0,
        ),
    ],
)
def test_units_are_found_by_name_and_shape(
    tmp_path: Path,
    name: str,
    shapes: dict[str, tuple[int, ...]],
    config: dict[str, int],
    inward: int,
    outward: int,
) -> None:
    """GPT-2's transposed matrices, Phi's fused ones; experts are left out, and attention always is."""
    save_file({n: torch.ones(s) for n, s in shapes.items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = layers_of(open_checkpoint(tmp_path))

    assert sum(len(layer.inward) for layer in found) == inward
    assert sum(len(layer.outward) for layer in found) == outward
