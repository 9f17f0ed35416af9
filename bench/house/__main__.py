"""
The house, measured: `python -m bench.house [structure] [start] [tests]` writes bench/house/results.json.

Without a word all three parts are measured; `tests` runs the whole suite once.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.figures import BENCH, Figure, at_least, at_most, measured, write
from bench.house.names import lasting_names
from bench.house.reach import unreached
from bench.house.structure import (
    Module,
    circles,
    graph,
    modules,
    outside_the_budget,
    repeated_classes,
    repeated_stems,
)
from bench.house.way import Way, way_of

ROOT = BENCH.parent
BEFORE = "190b1c0"
"""The commit that the house was rebuilt from; its history must be there (no shallow clone)."""

COMMAND = "python -m bench.house"
REQUEST = ("undertow.audit.scan", "scan", "request")


def main(parts: list[str]) -> int:
    """Measure the named parts, or all, and write every figure."""
    known: dict[str, Callable[[], list[Figure]]] = {
        "structure": _structure,
        "start": _start,
        "tests": _tests,
    }
    figures, seconds = measured(parts, known)
    path = write("house", figures, seconds)
    for figure in figures:
        print(f"{figure.name}: {figure.value:.4g} {figure.unit} (asked: {figure.target or '-'})")
    print(path)
    return 0


def _structure() -> list[Figure]:
    house, before = modules(ROOT / "src"), _before()
    way, way_before = way_of(house, *REQUEST), way_of(before, *REQUEST)
    return [
        *_size(house, before),
        _most("README", len((ROOT / "README.md").read_bytes()), 8_000, "bytes"),
        _most("circles between files", len(circles(graph(house))), 0, "circles"),
        _most("stems that repeat", len(repeated_stems(house)), 0, "stems"),
        _most("public class names that repeat", len(repeated_classes(house)), 0, "names"),
        _most("files outside the budget of lines", len(outside_the_budget(house)), 0, "files"),
        # The two that are left are fields of published schemas.
        _most("vague names that last", len(lasting_names(house)), 2, "names"),
        _most("definitions that nothing reaches", len(unreached(house, ROOT)), 0, "definitions"),
        *_way("stays", way_before, way, lambda way: len(way.stays)),
        *_way("returns", way_before, way, lambda way: way.returns),
    ]


def _size(house: dict[str, Module], before: dict[str, Module]) -> list[Figure]:
    lines = [module.lines for module in house.values()]
    return [
        _told(
            f"lines of src at {BEFORE}", sum(module.lines for module in before.values()), "lines"
        ),
        _most("lines of src", sum(lines), 38_000, "lines"),
        _told(f"modules of src at {BEFORE}", len(before), "modules"),
        _most("modules of src", len(lines), 240, "modules"),
        at_least(
            "structure: lines of a module, median", median(lines), 120, "lines", command=COMMAND
        ),
    ]


def _way(what: str, before: Way, now: Way, count: Callable[[Way], int]) -> list[Figure]:
    first, value = count(before), count(now)
    return [
        _told(f"{what} of a scan's request at {BEFORE}", first, what),
        Figure(
            f"structure: {what} of a scan's request",
            value,
            what,
            f"fewer than half of {first}",
            value < first / 2,
            command=COMMAND,
            note="by the rule in bench/house/way.py, the same for both",
        ),
    ]


def _most(name: str, value: float, target: float, unit: str) -> Figure:
    return at_most(f"structure: {name}", value, target, unit, command=COMMAND)


def _told(name: str, value: float, unit: str) -> Figure:
    return Figure(f"structure: {name}", value, unit, command=COMMAND)


def _before() -> dict[str, Module]:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "archive", BEFORE, "src"], check=True, capture_output=True
    )
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        return modules(Path(folder) / "src")


def _start() -> list[Figure]:
    def once() -> float:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "undertow", "--help"], check=True, capture_output=True
        )
        return time.perf_counter() - began

    seconds = median(once() for _ in range(9))
    return [at_most("start: undertow --help, wall time", seconds, 0.1, "s", command=COMMAND)]


def _tests() -> list[Figure]:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=ROOT, check=False)
    minutes = (time.perf_counter() - began) / 60
    return [
        at_most("tests: the whole suite on 2 cores", minutes, 8, "minutes", command=COMMAND),
        at_most("tests: exit code of the suite", done.returncode, 0, "exit code", command=COMMAND),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
