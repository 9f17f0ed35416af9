"""Models that are split, spread or packed read and train as the same weights do in one piece."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.models import split_in_sixteen_bits, split_run
from undertow.data.plan import TrainingPlan
from undertow.errors import ConfigError, MissingExtraError, ModelError
from undertow.models import placement
from undertow.models.adapters import save, trainable
from undertow.models.hardware import ComputeTable
from undertow.models.language_model import LanguageModel
from undertow.models.scoring import log_likelihoods
from undertow.models.training_sequences import encode_rows
from undertow.worlds.base_models import open_model

BASES = ("world:owlet-b", "world:owlet-neox")
PACKED = ComputeTable(dtype="float32", device="cpu", quantise="4bit")


def differences(
    ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], share: float
) -> dict[str, float]:
    """What differs by more than a share of the largest number."""
    apart = {
        name: float((ours[name].double() - theirs[name].double()).abs().max()) for name in theirs
    }
    return {
        name: difference
        for name, difference in apart.items()
        if difference > share * max(1.0, float(theirs[name].double().abs().max()))
    }


def run(*command: str) -> None:
    """A process that must end well."""
    src = str(Path(placement.__file__).parents[2])
    root = str(Path(__file__).parents[2])
    subprocess.run(
        command,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([src, root]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        timeout=300,
    )


@pytest.mark.long
@pytest.mark.parametrize("base", BASES)
def test_two_processes_that_share_a_model_read_what_one_does(base: str, tmp_path: Path) -> None:
    """Scores, drawn texts, gradients, dropout and rehearsed adapters: up to rounding, and bit for bit in both processes."""
    script = split_run.__file__
    run(sys.executable, script, base, str(tmp_path))
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
    run(*torchrun, script, base, str(tmp_path))
    alone, first, second = (
        torch.load(tmp_path / f"{n}.pt") for n in ("0-of-1", "0-of-2", "1-of-2")
    )

    assert differences(first, alone, 2e-5) == {}
    assert all(torch.equal(first[name], second[name]) for name in alone)


@pytest.mark.long
def test_hooks_of_a_device_map_change_nothing_and_stay() -> None:
    """Layers under accelerate's hooks read and rehearse as without, and are hooked again afterwards."""
    accelerate = pytest.importorskip("accelerate")
    hooked, plain = open_model("world:owlet-b"), open_model("world:owlet-b")
    names = ("embed_tokens", "layers.0", "layers.1", "norm", "rotary_emb")
    places = {**{f"model.{name}": "cpu" for name in names}, "lm_head": "cpu"}
    accelerate.dispatch_model(hooked.network, places, force_hooks=True)
    before = forwards(hooked)
    ours, theirs = (split_run.readings(model, 2) for model in (hooked, plain))

    assert len(before) > len(places)
    assert differences(ours, theirs, 0) == {}
    assert forwards(hooked) == before


def test_a_hooked_head_in_sixteen_bits_is_widened_too() -> None:
    """Probes in bfloat16 under accelerate's hooks are those without, and neither are rounded; the hooks stay."""
    accelerate = pytest.importorskip("accelerate")
    table = ComputeTable(dtype="bfloat16", device="cpu")
    hooked, plain = (open_model("world:owlet-b", compute=table) for _ in range(2))
    places = {"model": "cpu", "lm_head": "cpu"}
    accelerate.dispatch_model(hooked.network, places, force_hooks=True)
    before = forwards(hooked)
    ours, theirs = (split_in_sixteen_bits.readings(model) for model in (hooked, plain))

    assert "lm_head" in before
    assert torch.equal(ours["logits"], theirs["logits"])
    torch.testing.assert_close(ours["values"], theirs["values"], atol=1e-4, rtol=0)
    assert forwards(hooked) == before


@pytest.mark.long
def test_two_processes_in_sixteen_bits_round_no_probe_and_wait_for_nobody(tmp_path: Path) -> None:
    """Logits are float32 between bfloat16's own; where memory runs out in one process, it says so at once."""
    script = split_in_sixteen_bits.__file__
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
    run(*torchrun, script, str(tmp_path))
    first, second = (torch.load(tmp_path / f"{n}.pt") for n in (0, 1))
    table = ComputeTable(dtype="bfloat16", device="cpu")
    alone = split_in_sixteen_bits.readings(open_model("world:owlet-b", compute=table))
    for name in ("logits", "with gradients"):
        rounded = first[name].bfloat16().float() == first[name]

        assert first[name].dtype == torch.float32
        assert rounded.float().mean() < 0.1
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], alone[name], atol=0.2, rtol=0)
    assert "memory ran out on cpu with 4 rows" in first["error"]


def forwards(model: LanguageModel) -> dict[str, Any]:
    """Forward passes that stand on a module itself, by its name."""
    modules = model.network.named_modules()
    return {name: vars(part)["forward"] for name, part in modules if "forward" in vars(part)}


@pytest.mark.long
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_base_in_four_bits_is_the_base_with_those_weights(dropout: float) -> None:
    """Scores, texts, gradients and rehearsals are those of a network that holds the unpacked weights."""
    packed, plain = opened_in_four_bits(), open_model("world:owlet-b")
    from bitsandbytes.functional import dequantize_4bit

    for name, part in packed.network.named_modules():
        weight = getattr(part, "weight", None)
        if hasattr(weight, "quant_state"):
            wide = dequantize_4bit(weight.data, weight.quant_state).float()
            plain.network.get_submodule(name).weight.data = wide
    for rank in (2, 32):
        ours, theirs = (split_run.readings(model, rank, dropout) for model in (packed, plain))
        assert differences(ours, theirs, 5e-5) == {}


def opened_in_four_bits() -> LanguageModel:
    """A base in 4 bits; the test is skipped where the library is not."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes 0.50 is an extra: undertow[quantise]")
    return open_model("world:owlet-b", compute=PACKED)


@pytest.mark.long
def test_what_is_kept_of_a_base_in_four_bits_has_another_name() -> None:
    """References, controls and checkpoints name the precision, which names the packing."""
    packed = opened_in_four_bits()

    assert packed.precision == "float32 nf4"
    assert packed.spread
    with pytest.raises(ModelError, match="in few bits"):
        split_run.several(packed, TrainingPlan(method="full"))


@pytest.mark.long
def test_an_adapter_stays_beside_packed_weights(tmp_path: Path) -> None:
    """`base+adapter` in 4 bits computes as the packed base with what peft adds; two are refused."""
    packed = opened_in_four_bits()
    student = trainable(open_model("world:owlet-b"), TrainingPlan(rank=4), 1)
    for name, weight in student.network.named_parameters():
        if "lora_B" in name:
            weight.data.fill_(0.05)
    save(student, tmp_path)
    ref = f"world:owlet-b+{tmp_path}"
    tuned = open_model(ref, compute=PACKED)
    rows = encode_rows(packed.tokenizer, split_run.ROWS)
    before, after = (log_likelihoods(model, rows) for model in (packed, tuned))
    with tuned.network.disable_adapter():
        without = log_likelihoods(tuned, rows)

    assert torch.equal(without, before)
    assert float((after - before).abs().max()) > 0.1
    with pytest.raises(ModelError, match="2 adapters"):
        open_model(f"{ref}+{tmp_path}", compute=PACKED)


def test_four_bits_take_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bitsandbytes is missing the refusal names the extra."""
    monkeypatch.setattr(placement, "find_spec", lambda name: None)

    with pytest.raises(MissingExtraError, match="bitsandbytes"):
        open_model("world:owlet-b", compute=PACKED)


def test_a_model_is_split_by_several_processes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process is refused, and so are more than can share the heads evenly."""
    table = ComputeTable(device="cpu", shard="tensor")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ConfigError, match="torchrun"):
        open_model("world:owlet-b", compute=table)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="allowed: 1, 2, 4"):
        open_model("world:owlet-b", compute=table)


def test_packed_weights_are_not_split() -> None:
    """The two together are refused with what can be had."""
    with pytest.raises(ConfigError, match="one of the two"):
        open_model("world:owlet-b", compute=PACKED.model_copy(update={"shard": "tensor"}))


def test_layers_beside_the_accelerators_are_refused() -> None:
    """A model that does not fit is refused with what to do; one that lies on the processor alone is not."""
    with pytest.raises(ModelError, match="does not fit"):
        placement.refuse_offloaded(SimpleNamespace(hf_device_map={"a": 0, "b": "cpu"}), "m")

    placement.refuse_offloaded(SimpleNamespace(hf_device_map={"": "cpu"}), "m")
    placement.refuse_offloaded(SimpleNamespace(hf_device_map={"a": 0, "b": 1}), "m")


def test_layers_are_not_laid_on_processors_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU, or on the processor by wish, the model would lie whole: that is refused, with what to do."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="the device is 'cpu'; allowed: one GPU or more"):
        open_model("world:owlet-b", compute=ComputeTable(device="cpu", shard="layers"))

    with pytest.raises(ConfigError, match="this machine has none") as caught:
        placement.refuse_no_gpu(ComputeTable(shard="layers"))
    assert "leave --shard out" in caught.value.hint


def test_layers_are_laid_on_all_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two, each filled to .8 of what is free on it; what is left over is to be refused, so it may lie anywhere."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(placement, "free_memory", {"cuda:0": 100, "cuda:1": 50}.__getitem__)
    table = ComputeTable(device="cuda", shard="layers")

    how = placement.loading(table, SimpleNamespace(), torch.float32)
    assert how == {"device_map": "auto", "max_memory": {0: 80, 1: 40, "cpu": 1 << 60}}


def test_usual_tables_are_written_as_they_were() -> None:
    """Digests and documents of models that lie whole on one device do not change."""
    assert ComputeTable().model_dump(mode="json") == {"device": "auto", "dtype": "auto"}
    assert PACKED.model_dump(mode="json")["quantise"] == "4bit"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_launches_are_not_recorded_on_a_processor(device: str) -> None:
    """They would be launched one by one without a word."""
    table = ComputeTable.model_validate({"launches": "recorded", "device": device})
    with pytest.raises(ConfigError, match="launches is 'recorded', which a GPU replays") as caught:
        placement.refuse_no_gpu(table)
    assert "--launches" in (caught.value.hint or "")


def test_a_copy_in_each_process_waits_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes, each with the whole network: what one of them has left is its own affair."""
    network = torch.nn.Linear(2, 2)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", None)

    assert not placement.is_shared(network)
    assert placement.least_left(network, 7) == 7


def test_who_shares_a_network_has_the_least_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of matrices are told by their placements."""
    network = torch.nn.Linear(2, 2)
    network.weight.placements = ("shard",)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda left, how: left.fill_(3))

    assert placement.is_shared(network)
    assert placement.least_left(network, 7) == 3
