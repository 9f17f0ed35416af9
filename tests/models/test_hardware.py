"""The machine's precision, device and memory, chosen and refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from undertow.data.closed import parse
from undertow.errors import ConfigError
from undertow.models import hardware
from undertow.models.hardware import (
    LEAST_WEIGHTS,
    ComputeTable,
    StoredWeights,
    device_for,
    free_memory,
    give_back_memory,
    precision_for,
    settled,
    stored_weights,
)

LARGE = StoredWeights(LEAST_WEIGHTS, wide=False)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "fast_in_bfloat16", lambda device: True)


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ([LARGE], "bfloat16"),
        ([LARGE, StoredWeights(10, wide=False)], "bfloat16"),
        ([StoredWeights(LEAST_WEIGHTS - 1, wide=False)], "float32"),
        ([StoredWeights(LEAST_WEIGHTS, wide=True)], "float32"),
        ([LARGE, StoredWeights(LEAST_WEIGHTS, wide=True)], "float32"),
        ([], "float32"),
    ],
)
def test_auto_takes_sixteen_bits_for_large_models_that_are_stored_so(
    models: list[StoredWeights], expected: str
) -> None:
    """One model that is stored in float32 puts all that it is compared with into float32."""
    assert precision_for("auto", "cpu", models) == expected


def test_auto_is_float32_where_the_machine_is_not_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without bfloat16 emulates it."""
    monkeypatch.setattr(hardware, "fast_in_bfloat16", lambda device: False)

    assert precision_for("auto", "cpu", [LARGE]) == "float32"


def test_bfloat16_without_it_is_said_on_a_processor_and_refused_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A processor computes it slowly, an old GPU not at all."""
    monkeypatch.setattr(hardware, "fast_in_bfloat16", lambda device: False)

    assert precision_for("bfloat16", "cpu", []) == "bfloat16"
    assert "no bfloat16" in caplog.text
    with pytest.raises(ConfigError, match="which the device 'cuda' has not"):
        precision_for("bfloat16", "cuda", [])


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "cuda:7"])
def test_a_device_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    """The message says which are."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(ConfigError, match=f"'{wanted}', which this machine has not; here: cpu"):
        device_for(wanted)
    assert device_for("auto") == "cpu"


def test_a_second_gpu_is_chosen_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are two: the third is refused with both names."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    assert device_for("cuda:1") == "cuda:1"
    assert device_for("auto") == "cuda"
    with pytest.raises(ConfigError, match="here: cpu, cuda:0, cuda:1"):
        device_for("cuda:2")


@pytest.mark.parametrize("value", ["gpu", "cuda:", "cuda:x", "mps"])
def test_a_device_of_another_form_is_refused(value: str) -> None:
    """By the table itself, with the place that it was given in."""
    with pytest.raises(ConfigError, match="device"):
        parse(ComputeTable, {"device": value}, where="'a.toml'")


@pytest.mark.parametrize(("dtype", "wide"), [("float32", True), ("bfloat16", False)])
def test_what_is_stored_is_read_off_the_files(tmp_path: Path, dtype: str, wide: bool) -> None:
    """Not off the configuration, which may say anything; scales are vectors and count for nothing."""
    from safetensors.torch import save_file

    weights = {
        "a": torch.zeros(4, 8, dtype=getattr(torch, dtype)),
        "scale": torch.zeros(8, dtype=torch.float32),
    }
    save_file(weights, tmp_path / "model.safetensors")

    assert stored_weights(str(tmp_path)) == StoredWeights(40, wide)


def test_the_embedded_world_stays_in_float32(model_folder: Path) -> None:
    """Its bases are stored in 16 bits and too small to gain by them."""
    assert settled(ComputeTable(), [str(model_folder)]) == ComputeTable(
        device=device_for("auto"), dtype="float32"
    )


def test_what_is_no_model_is_left_to_the_opening(tmp_path: Path) -> None:
    """A broken file says nothing here, and a missing GGUF has no weights."""
    (tmp_path / "model.safetensors").write_bytes(b"no header")

    assert stored_weights(str(tmp_path)).count == 0
    assert stored_weights(str(tmp_path / "missing.gguf")).count == 0


def test_a_container_leaves_less_than_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its limit minus what is used, of which cached files give way; no limit leaves the machine's."""
    for name, text in {
        "memory.max": "1000000",
        "memory.current": "700000",
        "memory.stat": "anon 1\ninactive_file 200000\n",
    }.items():
        (tmp_path / name).write_text(text)
    real: Any = hardware._container_memory
    monkeypatch.setattr(hardware, "_container_memory", lambda root: real(tmp_path))

    assert free_memory("cpu") == 500_000
    (tmp_path / "memory.max").write_text("max")
    assert free_memory("cpu") > 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="another C library")
def test_freed_memory_goes_back_to_the_system() -> None:
    """Pieces between which others live on: a tenth of them stays resident at most, where nearly all did."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    # Below the size from which glibc asks the system for each piece by itself.
    pieces = [bytearray(b"x" * 100_000) for _ in range(2_000)]
    held = resident() - before
    kept = pieces[::100]
    pieces.clear()
    give_back_memory()
    assert held > 150_000_000
    assert resident() - before < held / 4
    assert len(kept) == 20
