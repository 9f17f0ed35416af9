"""What this machine computes with: its devices, the precision that it is fast in, and the memory that is left."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from undertow.data.closed import Closed
from undertow.data.files import model_parts
from undertow.errors import ConfigError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16", "float16"]

LEAST_WEIGHTS = 20_000_000
"""Weights below which nothing is gained in 16 bits: a pass is then bound by its many small operations."""

_FASTER = 1.5
"""By which a product in bfloat16 is faster than in float32 on a processor that has it."""

_SIDE = 512
"""Of the matrices by which that is measured where no flag of the processor says so."""

_WIDE = ("F32", "F64")
"""Of safetensors."""

_CGROUP = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
"""Of a container, by its version, beneath /sys/fs/cgroup: limit, use, and what of it are files that give way."""


class ComputeTable(Closed):
    """Where and in which precision the models run."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """`auto` is an accelerator if there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the base's weights; adapters are trained in float32. `auto`: see `precision_for`."""
    shard: Literal["none", "layers", "tensor"] = "none"
    """What is spread where one device is too small: layers over all GPUs of this process, or matrices over the processes
    that torchrun started."""
    quantise: Literal["none", "4bit"] = "none"
    """In which a base's weights are packed."""
    launches: Literal["each", "recorded"] = "each"
    """Whether an accelerator records a pass once a shape and replays it: for small models, which are slowed by launches."""

    @model_serializer(mode="wrap")
    def _without_usual(self, as_usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Documents and digests of models that lie whole on one device are what they were.
        told: dict[str, Any] = as_usual(self)
        return {
            name: value
            for name, value in told.items()
            if name not in ("shard", "quantise", "launches") or value not in ("none", "each")
        }


AUTO = ComputeTable()
"""What the machine is fast with."""


@dataclass(frozen=True)
class StoredWeights:
    """What a model's files say of its weights."""

    count: int
    wide: bool
    """Whether any is stored in more than 16 bits."""


def device_for(wanted: str) -> str:
    """
    The device to compute on; `auto` is an accelerator if there is one.

    Raises:
        ConfigError: the wanted one is not there.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return "cuda" if count else "cpu"
    number = wanted.partition(":")[2]
    if wanted != "cpu" and int(number or 0) >= count:
        there = ", ".join(["cpu", *(f"cuda:{i}" for i in range(count))])
        raise ConfigError(
            f"the device is '{wanted}', which this machine has not; here: {there}",
            hint='--device auto, or device = "auto" in an experiment\'s [compute]',
        )
    return wanted


def precision_for(wanted: str, device: str, models: Sequence[StoredWeights]) -> Precision:
    """
    The precision of models that are compared with each other, which is one for all of them.

    `auto` is bfloat16 where the device is fast in it, no weight is stored in more than 16 bits, and the largest of the
    models has `LEAST_WEIGHTS` weights; float32 otherwise.

    Raises:
        ConfigError: the accelerator cannot compute in the wanted one.
    """
    if wanted == "auto":
        large = max((stored.count for stored in models), default=0) >= LEAST_WEIGHTS
        narrow = not any(stored.wide for stored in models)
        return "bfloat16" if large and narrow and fast_in_bfloat16(device) else "float32"
    if wanted == "bfloat16" and not fast_in_bfloat16(device):
        if device != "cpu":
            raise ConfigError(
                f"the dtype is 'bfloat16', which the device '{device}' has not",
                hint="--dtype float16 or float32",
            )
        logger.warning("this processor has no bfloat16 of its own: float32 is faster here")
    assert wanted in ("float32", "bfloat16", "float16")
    return wanted  # type: ignore[return-value]


def settled(table: ComputeTable, paths: Sequence[str]) -> ComputeTable:
    """
    The table with one precision for the models that lie at these paths (or have these names on a hub), and a device that
    is there.

    Raises:
        ConfigError: the machine has not what is wanted.
    """
    device = device_for(table.device)
    auto = table.dtype == "auto" and fast_in_bfloat16(device)
    models = [stored_weights(path) for path in paths] if auto else []
    there = {"device": device, "dtype": precision_for(table.dtype, device, models)}
    return table.model_copy(update=there)


@lru_cache(maxsize=64)
def stored_weights(path: str) -> StoredWeights:
    """
    How many weights a model's files hold and whether in more than 16 bits; of a hub's model, what its configuration says.

    What cannot be read counts as none: opening it will say what is wrong.
    """
    base = Path(model_parts(path)[0])
    if base.suffix == ".gguf":
        # In 4 to 8 bits, mostly.
        return StoredWeights(2 * base.stat().st_size if base.is_file() else 0, wide=False)
    if base.is_dir():
        return _in_files(sorted(base.glob("*.safetensors")))
    return _on_hub(str(base))


def _in_files(files: Sequence[Path]) -> StoredWeights:
    from safetensors import SafetensorError, safe_open

    count, wide = 0, False
    try:
        for path in files:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 (no dictionary: it cannot be iterated)
                    part = file.get_slice(name)
                    count += prod(part.get_shape())
                    # Scales of quantised weights are vectors.
                    wide |= part.get_dtype() in _WIDE and len(part.get_shape()) > 1
    except (SafetensorError, OSError):
        return StoredWeights(0, wide=False)
    return StoredWeights(count, wide)


def _on_hub(name: str) -> StoredWeights:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError):
        return StoredWeights(0, wide=False)
    narrow = getattr(config, "dtype", None) in (torch.bfloat16, torch.float16)
    return StoredWeights(sum(weight.numel() for weight in network.parameters()), not narrow)


@lru_cache(maxsize=8)
def fast_in_bfloat16(device: str) -> bool:
    """Whether bfloat16 is faster than float32: by the processor's flags, or a small product where it has no such flags."""
    import torch

    if device != "cpu":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if torch.backends.cpu.get_cpu_capability() != "DEFAULT" and _is_x86():
        return _flagged()
    return _seconds(torch.float32) > _FASTER * _seconds(torch.bfloat16)


def _is_x86() -> bool:
    return os.uname().machine in ("x86_64", "AMD64")


def _flagged() -> bool:
    import torch

    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, flag, lambda: False)()) for flag in flags)


def _seconds(dtype: torch.dtype) -> float:
    import torch

    matrix = torch.ones(_SIDE, _SIDE, dtype=dtype)
    return quickest(lambda: matrix @ matrix, "cpu")


def quickest(work: Callable[[], object], device: str) -> float:
    """Seconds of the quickest of a few tries, what a GPU does among them."""
    import torch

    times = []
    for _ in range(4):
        started = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times)


def give_back_memory() -> None:
    """
    Hand what was freed back to the system, where glibc keeps it: pieces of many sizes lie between each other, so that a scan
    of SmolLM2 held 3.4 GB after each reference, of which 1.5 GB were in use, and up to 6.2 GB after nineteen.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def free_memory(device: str | torch.device) -> int:
    """Bytes that are left: of an accelerator, with what torch holds in reserve; of the machine, or of its container."""
    import torch

    place = torch.device(device)
    if place.type == "cuda":
        free, _ = torch.cuda.mem_get_info(place)
        return free + torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
    return min(_machine_memory(), *_container_memory(Path("/sys/fs/cgroup")))


def _machine_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return 1024 * int(fields["MemAvailable"].split()[0])


def _container_memory(root: Path) -> list[int]:
    """What limits leave; very much where there is none."""
    left = [1 << 60]
    for limit, used, statistics, cached in _CGROUP:
        try:
            texts = [(root / name).read_text("ascii").strip() for name in (limit, used, statistics)]
        except OSError:
            continue
        files = re.search(rf"^{cached} (\d+)$", texts[2], re.MULTILINE)
        if texts[0].isdigit() and texts[1].isdigit():
            left.append(int(texts[0]) - int(texts[1]) + (int(files[1]) if files else 0))
    return left
