"""Weights tensor by tensor: merged, widened, and refused where they are not whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from undertow.data.plan import TrainingPlan
from undertow.errors import ModelError
from undertow.models import adapters
from undertow.models.checkpoint import open_checkpoint
from undertow.models.language_model import load
from undertow.models.model_folder import INDEX
from undertow.worlds import locate

BASE = locate("world:owlet-b")
NAME = "model.layers.0.mlp.up_proj.weight"


def saved(
    folder: Path, weights: dict[str, torch.Tensor], config: dict[str, Any] | None = None
) -> Path:
    """A folder with one file of weights."""
    folder.mkdir(exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config or {}))
    return folder


def test_every_tensor_is_the_loaded_models() -> None:
    """Names, shapes and values are those of the network."""
    found, network = open_checkpoint(BASE), load(BASE).network
    weights = dict(network.named_parameters())

    assert set(found.shapes) == set(weights)
    assert all(torch.equal(found.tensor(name), weights[name]) for name in weights)


def test_an_adapter_is_merged_as_peft_merges_it(tmp_path: Path) -> None:
    """Every weight of `folder+adapter`, with rank-stabilised scaling off and on."""
    for number, stabilised in enumerate((False, True)):
        wrapped = adapters.trainable(load(BASE), TrainingPlan(rank=3, alpha=5), 1)
        for weight in adapters.trained_weights(wrapped):
            torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(number))
        folder = tmp_path / str(number)
        adapters.save(wrapped, folder)
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(config | {"use_rslora": stabilised}))
        ref = f"{BASE}+{folder}"
        found, weights = open_checkpoint(ref), dict(load(ref).network.named_parameters())

        for name in weights:
            torch.testing.assert_close(found.tensor(name), weights[name], atol=1e-5, rtol=1e-5)


def test_shards_are_one_model_and_a_missing_one_is_named(tmp_path: Path) -> None:
    """An index with two files reads as one; an interrupted download says what is missing."""
    save_file({"a": torch.ones(2)}, tmp_path / "one.safetensors")
    save_file({"b": torch.ones(3)}, tmp_path / "two.safetensors")
    (tmp_path / "config.json").write_text("{}")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(index))

    assert open_checkpoint(tmp_path).shapes == {"a": (2,), "b": (3,)}
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(ModelError, match=r"two\.safetensors.*not there"):
        open_checkpoint(tmp_path)


def test_an_index_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    """A shard named by a path is refused, whether or not it is there."""
    folder = saved(tmp_path / "m", {"a": torch.ones(1)})
    save_file({"a": torch.ones(1)}, tmp_path / "secret.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))

    with pytest.raises(ModelError, match="not whole"):
        open_checkpoint(folder)


def test_int8_rows_are_widened_by_their_scales(tmp_path: Path) -> None:
    """As bitsandbytes (`SCB`) and as compressed-tensors (`weight_scale`) store them: within half a step."""
    weight = load_file(Path(BASE) / "model.safetensors")[NAME].float()
    largest = weight.abs().amax(1)
    codes = (weight / largest[:, None] * 127).round().to(torch.int8)
    one = saved(tmp_path / "1", {NAME: codes, NAME.replace(".weight", ".SCB"): largest})
    scale = {NAME: codes, NAME.replace(".weight", ".weight_scale"): (largest / 127)[:, None]}
    other = saved(tmp_path / "2", scale)

    for folder in (one, other):
        found = open_checkpoint(folder)
        assert list(found.shapes) == [NAME]
        assert (found.tensor(NAME) - weight).abs().max() <= largest.max() / 250


def test_four_bits_are_widened_by_their_table(tmp_path: Path) -> None:
    """As bitsandbytes stores nf4: two codes a byte, a scale a block of 64, the shape in a state of its own."""
    table = torch.linspace(-1, 1, 16)
    weight = load_file(Path(BASE) / "model.safetensors")[NAME].float()
    blocks = weight.reshape(-1, 64)
    scales = blocks.abs().amax(1)
    codes = (
        ((blocks / scales[:, None])[..., None] - table).abs().argmin(-1).flatten().to(torch.uint8)
    )
    state = json.dumps({"blocksize": 64, "shape": list(weight.shape), "dtype": "float16"}).encode()
    folder = saved(
        tmp_path / "m",
        {
            NAME: (codes[0::2] << 4 | codes[1::2])[:, None],
            f"{NAME}.absmax": scales,
            f"{NAME}.quant_map": table,
            f"{NAME}.quant_state.bitsandbytes__nf4": torch.tensor(list(state), dtype=torch.uint8),
        },
    )
    found = open_checkpoint(folder)

    assert found.shapes == {NAME: tuple(weight.shape)}
    assert (found.tensor(NAME) - weight).abs().max() <= scales.max() / 14


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_numbers_are_refused(tmp_path: Path, value: float) -> None:
    """NaN and infinity are named with their tensor."""
    folder = saved(tmp_path / "m", {"a": torch.tensor([1.0, value])})

    with pytest.raises(ModelError, match=r"'a' of model .* holds NaN or infinity"):
        open_checkpoint(folder).tensor("a")


def test_what_is_no_model_says_so(tmp_path: Path) -> None:
    """Pickles with the way to convert them, a cut-off file, an adapter alone, nothing at all."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="no weights"):
        open_checkpoint(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="pickled") as pickled:
        open_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(
        (Path(BASE) / "model.safetensors").read_bytes()[:5000]
    )
    with pytest.raises(ModelError, match="cannot be read") as cut:
        open_checkpoint(tmp_path)

    assert "save_pretrained" in pickled.value.hint
    assert "interrupted" in cut.value.hint


def test_an_adapter_without_its_base_says_which(tmp_path: Path) -> None:
    """The declared base is named, and how to give both."""
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')

    with pytest.raises(ModelError, match="org/base") as caught:
        open_checkpoint(tmp_path)

    assert caught.value.hint == f"name both: org/base+{tmp_path}"
