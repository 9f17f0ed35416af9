"""The stored result of a benchmark: `undertow.bench/1`, one figure for every number that was asked for, met or not."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from undertow.data.files import atomic_write
from undertow.stats import clopper_pearson

BENCH = Path(__file__).parent

EFFECTS = ("logits", "share of the transfer")
"""Units whose figures the page shows in any case, where they have an interval."""

MOST_SHOWN = 20
"""Figures of one benchmark that the page shows without choosing."""


@dataclass(frozen=True)
class Figure:
    """One number, with its interval where it has one, and what was asked of it."""

    name: str
    value: float | None
    unit: str
    target: str = ""
    """What was asked, in words; empty where nothing was."""
    met: bool | None = None
    """Whether it was reached; None where nothing was asked."""
    low: float | None = None
    high: float | None = None
    command: str = ""
    """What shows it again."""
    note: str = ""
    tries: int | None = None
    """Of a count of faults: how many tries were made."""
    upper_rate: float | None = None
    """The upper 95 % limit of their rate, one-sided."""


def at_least(name: str, value: float, target: float, unit: str, **more: Any) -> Figure:
    """A figure that should not be lower than `target`."""
    return Figure(name, value, unit, f"at least {target:g}", value >= target, **more)


def at_most(name: str, value: float, target: float, unit: str, **more: Any) -> Figure:
    """A figure that should not be higher than `target`."""
    return Figure(name, value, unit, f"at most {target:g}", value <= target, **more)


def share_of(name: str, hits: Sequence[bool], **more: Any) -> Figure:
    """The share of units that are hits, with its exact interval at 95 %; no value where there is no unit."""
    if not hits:
        return Figure(name, None, "share", **more)
    share = clopper_pearson(sum(hits), len(hits))
    return Figure(name, share.estimate, "share", low=share.low, high=share.high, **more)


def measured(
    parts: Sequence[str], known: Mapping[str, Callable[[], list[Figure]]]
) -> tuple[list[Figure], dict[str, float]]:
    """The figures of the named parts, or of all, and the seconds that each part took."""
    figures: list[Figure] = []
    seconds: dict[str, float] = {}
    for part in parts or list(known):
        began = time.perf_counter()
        figures += known[part]()
        seconds[part] = time.perf_counter() - began
    return figures, seconds


def write(bench: str, figures: list[Figure], seconds: dict[str, float], **more: object) -> Path:
    """
    Store the figures beside the benchmark; those of parts that were not measured now are kept.

    A figure's part is its name up to the colon, and `seconds` holds the working time of each part measured.
    """
    path = BENCH / bench / "results.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    measured = {_part(figure.name) for figure in figures}
    kept = [f for f in old.get("figures", []) if _part(f["name"]) not in measured]
    spent = {**old.get("seconds", {}), **{part: round(s, 1) for part, s in seconds.items()}}
    document = {
        "schema": "undertow.bench/1",
        "commit": _commit(),
        "hardware": _hardware(),
        "wall_seconds": round(sum(spent.values()), 1),
        "seconds": spent,
        "figures": [*map(_stored, figures), *kept],
        **{
            key: {**old.get(key, {}), **value}
            for key, value in more.items()
            if isinstance(value, dict)
        },
    }
    atomic_write(path, json.dumps(document, indent=1) + "\n")
    return path


def _stored(figure: Figure) -> dict[str, object]:
    """Tries stand where there are any."""
    stored = asdict(figure)
    few = [name for name in ("tries", "upper_rate") if stored[name] is None]
    return {key: value for key, value in stored.items() if key not in few}


def tell(figures: Sequence[Figure], path: Path) -> None:
    """Print each figure on a line, and where they are stored."""
    for figure in figures:
        value = "-" if figure.value is None else f"{figure.value:.4g}"
        print(f"{figure.name}: {value} {figure.unit} (asked: {figure.target or '-'}) {figure.note}")
    print(path)


def _part(name: str) -> str:
    return name.partition(":")[0]


def table(bench: str) -> str:
    """
    The stored figures as a Markdown table: those that something was asked of, and effects with an interval.

    The file holds the others too.
    """
    document = json.loads((BENCH / bench / "results.json").read_text(encoding="utf-8"))
    lines = ["| figure | value | asked | met |", "|---|---|---|---|"]
    for figure in document["figures"]:
        effect = figure["unit"] in EFFECTS and figure["low"] is not None
        if len(document["figures"]) > MOST_SHOWN and not figure["target"] and not effect:
            continue
        met = {True: "yes", False: "**no**", None: ""}[figure["met"]]
        lines.append(f"| {figure['name']} | {shown(figure)} | {figure['target']} | {met} |")
    return "\n".join(lines)


def shown(figure: dict[str, object]) -> str:
    """A figure's value with its interval and unit."""
    value = figure["value"]
    if not isinstance(value, int | float):
        return "not measured"
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if figure["low"] is not None and figure["high"] is not None:
        text += f" [{figure['low']:.3g}, {figure['high']:.3g}]"
    return f"{text} {figure['unit']}".strip()


def _commit() -> str:
    described = subprocess.run(
        ["git", "-C", str(BENCH), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def _hardware() -> dict[str, object]:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0].partition(":")[2].strip() if models else name
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "accelerator": None,
    }
