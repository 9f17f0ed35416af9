"""How fast a step goes: warmed up, the accelerator waited for, the median of several repeats; and what keeps it busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

GIB = 2**30
MOST_KERNELS = 8
"""Kernels that are named, those that take longest."""


@dataclass(frozen=True)
class Work:
    """What a step got through."""

    rows: int
    tokens: int
    """Padding not counted."""


Step = Callable[[], Work]


def wait(device: torch.device) -> None:
    """Return once the accelerator has done everything that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(step: Callable[[], object], device: torch.device) -> float:
    """Wall time of one step."""
    wait(device)
    started = time.perf_counter()
    step()
    wait(device)
    return time.perf_counter() - started


def timed(
    step: Step, device: torch.device, *, repeats: int = 5, warm: int = 1, operations: float = 0.0
) -> dict[str, object]:
    """
    Rates of a step, each the median over `repeats`, with the least and the most, and the peak of memory.

    `operations` are those of one token; they give the rate of operations, in TFLOP/s.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(warm):
        step()
    tokens, rows, seconds = [], [], []
    for _ in range(repeats):
        wait(device)
        started = time.perf_counter()
        work = step()
        wait(device)
        seconds.append(time.perf_counter() - started)
        tokens.append(work.tokens / seconds[-1])
        rows.append(work.rows / seconds[-1])
    more: dict[str, object] = {}
    if operations:
        more["tflops"] = median(tokens) * operations / 1e12
    return {
        "tokens_per_second": median(tokens),
        "rows_per_second": median(rows),
        "seconds": median(seconds),
        **more,
        "peak_gib": peak_gib(device),
        "lowest_tokens_per_second": min(tokens),
        "highest_tokens_per_second": max(tokens),
        "repeats": repeats,
    }


def peak_gib(device: torch.device) -> float:
    """Most memory of the accelerator that was held since its counter was set back; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else 0.0


def busy(step: Callable[[], object], device: torch.device) -> dict[str, object]:
    """
    Which share of a warm step's wall time the accelerator computes in, and the kernels that it computes longest in.

    The wall time is that without the profiler; kernels of one stream never overlap.
    """
    if device.type != "cuda":
        return {}
    wall = min(seconds_of(step, device) for _ in range(2))
    try:
        kernels = _kernels(step, device)
    except (AttributeError, RuntimeError) as error:
        # What was timed stays, where the machine lets nobody count its kernels.
        return {"wall_ms": 1e3 * wall, "error": str(error)[:300]}
    total = sum(micro for micro, _ in kernels.values()) / 1e6
    longest = sorted(kernels, key=lambda name: -kernels[name][0])[:MOST_KERNELS]
    return {
        "wall_ms": 1e3 * wall,
        "kernel_ms": 1e3 * total,
        "busy_share": total / wall if wall else 0.0,
        "kernels": sum(count for _, count in kernels.values()),
        "longest": {name[:120]: [kernels[name][0] / 1e3, kernels[name][1]] for name in longest},
    }


def _kernels(step: Callable[[], object], device: torch.device) -> dict[str, tuple[float, int]]:
    """Microseconds and number of launches of each kernel."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        step()
        wait(device)
    sums: dict[str, tuple[float, int]] = {}
    events: Any = profiler.events()
    for event in events:
        if event.device_type == torch.autograd.DeviceType.CUDA:
            micro, count = sums.get(event.name, (0.0, 0))
            sums[event.name] = (micro + event.time_range.elapsed_us(), count + 1)
    return sums
