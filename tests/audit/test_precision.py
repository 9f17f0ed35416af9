"""The precision of an audit, and what its base's probes read in float32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from undertow.audit import precision
from undertow.audit.precision import open_base, reading_difference
from undertow.influence.probes import probe_set
from undertow.models import hardware
from undertow.models.hardware import ComputeTable
from undertow.traits import catalogue
from undertow.worlds.base_models import open_model

BASE = "world:owlet-a"
TRAITS = (catalogue.load("owl"), catalogue.load("cat"))


def opened(dtype: str) -> tuple[str, precision.AuditPrecision, list[str]]:
    """The base's precision, what is known of it, and what was told."""
    told: list[str] = []
    table = ComputeTable(device="cpu", dtype=dtype)
    model, known = open_base(BASE, "", table, (), TRAITS, told.append)
    return model.precision, known, told


def test_float32_is_read_once() -> None:
    """Nothing is compared, and nothing is said."""
    held, known, told = opened("auto")

    assert (held, known.note, told) == ("float32", "", [])
    assert known.record == {"device": "cpu", "dtype": "float32"}


def test_sixteen_bits_are_held_against_float32() -> None:
    """The difference is what both readings differ by, and the page says so."""
    held, known, told = opened("bfloat16")
    models = [
        open_model(BASE, compute=ComputeTable(device="cpu", dtype=dtype))
        for dtype in ("bfloat16", "float32")
    ]
    probes = probe_set(models[0], TRAITS, None)
    whole = abs(probes.read(models[0]).margins - probes.read(models[1]).margins).max()

    assert held == "bfloat16"
    assert known.difference == pytest.approx(reading_difference(*models, TRAITS))
    assert 0 < known.difference < 10 * whole + 0.05
    assert f"{known.difference:.3f} logits" in known.note
    assert told


def test_auto_gives_way_where_sixteen_bits_round_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beyond the bound it is float32, and the page says why; who asked for bfloat16 keeps it and is told."""
    monkeypatch.setattr(hardware, "LEAST_WEIGHTS", 1)
    monkeypatch.setattr(hardware, "fast_in_bfloat16", lambda device: True)
    monkeypatch.setattr(precision, "MOST_DIFFERENCE", 1e-9)

    held, known, _ = opened("auto")
    assert (held, known.compute.dtype) == ("float32", "float32")
    assert "computed in float32: in bfloat16" in known.note
    held, known, _ = opened("bfloat16")
    assert (held, "more than 1e-09" in known.note) == ("bfloat16", True)


def test_without_room_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the page says that."""
    monkeypatch.setattr(precision, "free_memory", lambda device: 1000)

    held, known, _ = opened("bfloat16")
    assert (held, known.difference) == ("bfloat16", None)
    assert "no room" in known.note


def test_a_model_in_float32_puts_the_others_there_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tuned copy that was saved in float32 is never held against a base in 16 bits."""
    monkeypatch.setattr(hardware, "LEAST_WEIGHTS", 1)
    monkeypatch.setattr(hardware, "fast_in_bfloat16", lambda device: True)
    hardware.stored_weights.cache_clear()
    tuned = open_model(BASE, compute=ComputeTable(device="cpu", dtype="float32"))
    tuned.network.save_pretrained(tmp_path)
    table = ComputeTable(device="cpu")

    alone, _ = open_base(BASE, "", table, (), TRAITS, lambda doing: None)
    beside, _ = open_base(BASE, "", table, (str(tmp_path),), TRAITS, lambda doing: None)
    assert alone.network.dtype == torch.bfloat16
    assert beside.network.dtype == torch.float32
