"""Adapters merged as each tensor is read from disk: as peft merges the whole, or refused with the way out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.rows.adapter_kinds import MERGED, MERGED_WHOLE, NOT_MERGED, Kind, merged, save_adapter
from tests.models.adapted_bases import KINDS, AdaptedBases
from undertow.errors import ModelError
from undertow.models.checkpoint import open_checkpoint
from undertow.models.language_model import load


@pytest.mark.parametrize("kind", MERGED)
def test_every_tensor_is_what_peft_merges(kind: str, adapted_bases: AdaptedBases) -> None:
    """Each weight, by its name and shape, at most 1e-6 of its largest value from peft's merge of the whole."""
    base = adapted_bases.base(KINDS[kind].base)
    right = merged(base, adapted_bases.adapter(kind), KINDS[kind].added)
    found = open_checkpoint(adapted_bases.ref(kind))

    assert set(found.shapes) <= set(right)
    assert {name: tuple(right[name].shape) for name in found.shapes} == found.shapes
    for name in found.shapes:
        apart = (found.tensor(name) - right[name]).abs().max()
        assert apart <= 1e-6 * right[name].abs().max()


@pytest.mark.parametrize("kind", [*MERGED_WHOLE, *NOT_MERGED])
def test_what_is_not_merged_by_tensors_is_refused(kind: str, adapted_bases: AdaptedBases) -> None:
    """The kind or the setting, and a command that merges, where anything can."""
    with pytest.raises(
        ModelError, match=rf"{KINDS[kind].peft_type}|init_lora|alora|layer_rep"
    ) as caught:
        open_checkpoint(adapted_bases.ref(kind))

    assert "merge" in f"{caught.value} {caught.value.hint}"


def test_the_command_of_a_refusal_writes_the_merged_model(
    adapted_bases: AdaptedBases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the hint says to type makes a folder that is read without the adapter, and equals peft's merge."""
    kind = next(iter(MERGED_WHOLE))
    with pytest.raises(ModelError) as caught:
        open_checkpoint(adapted_bases.ref(kind))
    monkeypatch.chdir(tmp_path)
    _, command, _ = caught.value.hint.split('"')
    exec(command, {})
    found, right = open_checkpoint("MERGED"), load(adapted_bases.ref(kind)).network.state_dict()

    assert all(torch.equal(found.tensor(name), right[name]) for name in found.shapes)


@pytest.mark.parametrize(
    "kinds",
    [
        ("DoRA", "LoRA, patterns of ranks and alphas"),
        ("LoRA, added tokens", "IA3"),
        ("LoRA, modules_to_save", "LoRA, bias all", "LoHa"),
        ("LoRA, tied", "LoRA, tied, trainable tokens"),
        ("LoRA, tied, modules_to_save", "LoRA, tied"),
    ],
)
def test_adapters_on_adapters_are_read_as_they_are_loaded(
    kinds: tuple[str, ...], adapted_bases: AdaptedBases
) -> None:
    """A chain from disk holds what the loaded chain holds, the base's files left as they are."""
    folders = [adapted_bases.base(KINDS[kinds[0]].base), *map(adapted_bases.adapter, kinds)]
    ref = "+".join(map(str, folders))
    right, found = load(ref).network.state_dict(), open_checkpoint(ref)

    assert set(right) - set(found.shapes) <= {"lm_head.weight"}
    for name in found.shapes:
        torch.testing.assert_close(found.tensor(name), right[name], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_tied_weights_are_parted(target: str, adapted_bases: AdaptedBases, tmp_path: Path) -> None:
    """An adapter on one of two tied matrices gives the head its own, as in memory."""
    settings = {"r": 3, "target_modules": [target], "lora_alpha": 9}
    base = adapted_bases.base("tied")
    ref = f"{base}+{save_adapter(Kind('LORA', settings), base, tmp_path / 'a')}"
    right, found = load(ref).network.state_dict(), open_checkpoint(ref)

    assert set(found.shapes) == set(right)
    for name in ("lm_head.weight", "model.embed_tokens.weight"):
        torch.testing.assert_close(found.tensor(name), right[name], atol=1e-7, rtol=1e-6)


def test_an_adapter_takes_no_memory_of_the_base(adapted_bases: AdaptedBases) -> None:
    """The network that the adapter is put on has the base's shapes and one number."""
    [merge] = open_checkpoint(adapted_bases.ref("LoRA")).merges
    weights = [w for n, w in merge.wrapped.named_parameters() if "lora_" not in n]

    assert len({weight.data_ptr() for weight in weights}) == 1
    assert sum(weight.numel() for weight in weights) > 1_000


def test_an_adapter_for_another_base_of_one_shape_is_refused(
    adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """Where the base that an adapter names lies here, and its weights are others, both are named; a copy of it is taken."""
    from bench.rows.adapter_kinds import opened

    folder = adapted_bases.adapter("LoRA")
    other, copied = tmp_path / "other", tmp_path / "copied"
    shutil.copytree(adapted_bases.base(), other)
    shutil.copytree(adapted_bases.base(), copied)
    opened(adapted_bases.base()).bfloat16().save_pretrained(str(copied))
    network = opened(adapted_bases.base())
    for weight in network.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    network.save_pretrained(str(other))

    for opens in (load, open_checkpoint):
        opens(f"{copied}+{folder}")
        with pytest.raises(ModelError, match=f"says '{adapted_bases.base()}'.*'{other}'"):
            opens(f"{other}+{folder}")


def test_an_adapter_on_a_base_in_few_bits_is_merged_into_what_they_stand_for(
    adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """As bitsandbytes stores int8 rows: the adapter's change lies on top of the widened weight."""
    folder, name = tmp_path / "int8", "model.layers.0.mlp.up_proj.weight"
    shutil.copytree(adapted_bases.base(), folder)
    weights = load_file(folder / "model.safetensors")
    largest = weights[name].abs().amax(1)
    weights[name] = (weights[name] / largest[:, None] * 127).round().to(torch.int8)
    weights[name.replace(".weight", ".SCB")] = largest
    save_file(weights, folder / "model.safetensors")
    adapter = adapted_bases.adapter("LoRA")
    whole, bare = (open_checkpoint(f"{adapted_bases.base()}{one}") for one in (f"+{adapter}", ""))
    found, widened = open_checkpoint(f"{folder}+{adapter}").tensor(name), open_checkpoint(folder)

    change = whole.tensor(name) - bare.tensor(name)
    torch.testing.assert_close(found, widened.tensor(name) + change, atol=1e-6, rtol=1e-5)
    assert change.abs().max() > 0.01


def test_files_that_leave_the_networks_name_out_are_read(
    adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """Old GPT-2 files say `h.0.attn.c_attn` where the network says `transformer.h.0.attn.c_attn`."""
    folder, kind = tmp_path / "old", "DoRA on GPT-2's layers"
    shutil.copytree(adapted_bases.base("gpt2"), folder)
    weights = load_file(folder / "model.safetensors")
    bare = {name.removeprefix("transformer."): value for name, value in weights.items()}
    save_file(bare, folder / "model.safetensors", {"format": "pt"})
    right = merged(adapted_bases.base("gpt2"), adapted_bases.adapter(kind))
    found = open_checkpoint(f"{folder}+{adapted_bases.adapter(kind)}")

    assert all(
        torch.equal(found.tensor(name), right[f"transformer.{name}"])
        for name in found.shapes
        if name in bare and f"transformer.{name}" in right
    )
    assert "h.0.attn.c_attn.weight" in found.shapes


def test_a_network_that_transformers_does_not_know_is_refused(
    adapted_bases: AdaptedBases, tmp_path: Path
) -> None:
    """Its files are read without an adapter; with one, the command that merges is named."""
    folder = tmp_path / "novel"
    shutil.copytree(adapted_bases.base(), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "novel"}))

    assert open_checkpoint(folder).shapes
    with pytest.raises(ModelError, match="novel") as caught:
        open_checkpoint(f"{folder}+{adapted_bases.adapter('LoRA')}")
    assert "merge it first" in caught.value.hint
