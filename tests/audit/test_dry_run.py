"""What a scan is said to take, without a weight or a machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from undertow.audit import accelerators
from undertow.audit.accelerators import known_accelerators, machine_of
from undertow.audit.dry_run import (
    Placing,
    ScanSize,
    check_prices,
    dry_run,
    placing,
)
from undertow.audit.requests import ScanRequest
from undertow.data.plan import TrainingPlan
from undertow.errors import ConfigError, UnknownNameError
from undertow.models.hardware import ComputeTable
from undertow.models.meta_costs import ModelCosts, RowSize

SIZE = RowSize(64, 40)


def costs(weights: int, heads: int = 8) -> ModelCosts:
    """Of a model with so many weights, nearly all in linear layers."""
    return ModelCosts(
        weights, weights - 10**6, 10**7, 4e2 * weights, 2e2 * weights, 1e6, 1e5, 32, 1e4, heads
    )


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


def test_the_first_way_that_fits_is_taken() -> None:
    """Whole where it can be, then split, then packed; what does not fit says so."""
    eight, single = machine_of("8xH100-80GB"), machine_of("H100-80GB")
    table = ComputeTable()

    assert placing(costs(7 * 10**9), eight, SIZE, table).told == "as it is"
    assert placing(costs(70 * 10**9), eight, SIZE, table).told == "--shard tensor"
    assert placing(costs(70 * 10**9), single, SIZE, table).told == "--quantise 4bit"


def test_heads_that_processes_cannot_share_are_not_split() -> None:
    """Four heads over eight accelerators: layers are spread, as the scan itself would refuse to split; asked for, so is this."""
    eight, four = machine_of("8xH100-80GB"), machine_of("4xH100-80GB")
    grouped = costs(70 * 10**9, heads=4)

    assert placing(grouped, eight, SIZE, ComputeTable()).told == "--shard layers"
    assert placing(grouped, four, SIZE, ComputeTable()).told == "--shard tensor"
    with pytest.raises(ConfigError, match=r"8 processes cannot share 4 heads .* allowed: 1, 2, 4"):
        placing(grouped, eight, SIZE, ComputeTable(shard="tensor"))


def test_what_does_not_fit_is_said() -> None:
    """400 billion weights are too many for one accelerator even in 4 bits; a table is not overruled."""
    single = machine_of("H100-80GB")
    packed = ComputeTable(quantise="4bit")

    assert not placing(costs(400 * 10**9), single, SIZE, ComputeTable()).fits(SIZE.tokens)
    assert placing(costs(10**9), single, SIZE, packed).told == "--quantise 4bit"


def test_layers_are_computed_again_where_rows_are_long() -> None:
    """A row that does not pass as it is passes by what layers keep of their inputs, and says so."""
    where = Placing(costs(7 * 10**9), machine_of("H100-80GB"), "whole", packed=False)

    assert not where.again(SIZE.tokens)
    assert where.again(16 * 1024)
    assert where.fits(8 * 1024)


def test_prices_grow_with_what_is_trained() -> None:
    """Twice the references cost twice the operations; one of two adapters' steps is a quarter of the plan."""
    where = Placing(costs(7 * 10**9), machine_of("H100-80GB"), "whole", packed=False)
    few, many = (
        {
            price.check: price.operations
            for price in check_prices(
                where.costs,
                ScanSize(TrainingPlan(epochs=1), 10_000, SIZE, 100, count, 9_000),
                where,
            )
        }
        for count in (10, 20)
    )

    assert many["rehearsal: references"] == pytest.approx(2 * few["rehearsal: references"])
    assert many["rehearsal: rows"] == few["rehearsal: rows"]


def test_a_scan_is_priced_from_configuration_and_tokenizer(tmp_path: Path) -> None:
    """A folder without weights does: each check has its line, with a cost where an hour has a price."""
    import json
    import shutil

    from undertow.worlds.base_models import folder

    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (folder("owlet-b") / name).is_file():
            shutil.copy(folder("owlet-b") / name, tmp_path)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "\n".join(json.dumps({"prompt": f"Say {n}", "completion": f"{n}, {n}"}) for n in range(80)),
        encoding="utf-8",
    )
    lines = dry_run(ScanRequest(data=str(rows), student=str(tmp_path)), machine_of("L4-24GB@1"))

    assert [line.split()[0] for line in lines if line.startswith(("likelihood", "whole"))]
    assert any("0.000208 billion weights" in line for line in lines)
    assert torch.get_default_dtype() == torch.float32
