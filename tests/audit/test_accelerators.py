"""Machines that a scan is priced on, by name or as they are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from undertow.audit import accelerators
from undertow.audit.accelerators import known_accelerators, machine_of
from undertow.errors import ConfigError, UnknownNameError


def test_a_machine_is_named_by_count_kind_and_price() -> None:
    """`8xH100-80GB@2.5` is eight of them at 2.5 an hour."""
    machine = machine_of("8xH100-80GB@2.5")

    assert (machine.count, machine.name, machine.hourly) == (8, "H100-80GB", 2.5)
    assert machine_of("L4-24GB").hourly is None
    assert all(known.source for known in known_accelerators().values())


NINES = "9" * 5000
WRONG = [
    "",
    "0xH100-80GB",
    "00xH100-80GB",
    "H100 80GB",
    "8xH100-80GB@",
    f"{NINES}xL4-24GB",
    "٢xL4-24GB",
]


@pytest.mark.parametrize("text", [*WRONG, f"L4-24GB@{NINES}"])
def test_another_form_is_refused(text: str) -> None:
    """The message shows what is allowed."""
    with pytest.raises(ConfigError, match="NxNAME"):
        machine_of(text)


def test_this_machine_is_one() -> None:
    """Several of it are refused in place of being counted as one."""
    with pytest.raises(ConfigError, match=r"'2xhere', and here is one machine.* allowed: here or"):
        machine_of("2xhere")


@pytest.mark.parametrize(
    ("speed", "memory", "side"),
    [(1e9, 8e9, 256), (1e11, 8e9, 1024), (1e15, 141e9, 16_384), (1e15, 2e8, 1024), (1e6, 1e3, 256)],
)
def test_a_device_is_measured_by_a_product_that_fits_it(
    speed: float, memory: float, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes long enough to be no mere call, which waits 20 µs here, and not long; never more than memory holds."""
    seen: list[int] = []

    def ones(*shape: int, **_: Any) -> torch.Tensor:
        seen.append(shape[0])
        return torch.empty(shape, device="meta")

    def quickest(work: Callable[[], Any], device: str) -> float:
        made = work()
        return float(
            2e-5 + (2 * made.shape[0] ** 3 / speed if made.ndim == 2 else made.nbytes / 1e12)
        )

    monkeypatch.setattr(torch, "ones", ones)
    monkeypatch.setattr(accelerators, "quickest", quickest)
    monkeypatch.setattr(accelerators, "free_memory", lambda device: memory)
    measured = machine_of("here").accelerator
    sides = [size for size in seen if size in accelerators._SIDES]

    assert sides[-1] == side
    assert measured.operations == pytest.approx(2 * side**3 / (2e-5 + 2 * side**3 / speed))


def test_an_unknown_accelerator_is_refused_with_the_nearest() -> None:
    """Those that there are stand in the message."""
    with pytest.raises(UnknownNameError, match="H100-80GB"):
        machine_of("2xH100")


def test_a_processor_waits_for_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What calling for a layer takes was measured on a GPU's host: `here`, without one, has its own."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(accelerators, "_SIDES", (16,))
    monkeypatch.setattr(accelerators, "_COPIED", (1 << 10,))
    here, card = machine_of("here").accelerator, known_accelerators()["H200-141GB"]

    assert here.layer < card.layer
    assert here.step < card.step
    assert here.peak < card.peak
