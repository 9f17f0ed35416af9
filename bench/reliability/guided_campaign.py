"""The campaign of the coverage-guided fuzzer: its units, a fault that only guidance finds, and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.figures import Figure
from bench.reliability import fuzz, guided
from bench.reliability.guided import TARGETS
from bench.reliability.kinds import KINDS, Kind
from bench.reliability.tries import Unit, counted, figure, figure_of_each, first_seed, trap_figure
from undertow.errors import InputError

COMMAND = "python -m bench.reliability guided"
ASKED = 100_000
"""Documents of all targets together."""

SECONDS = 60
"""Of each target, where none are named."""

PARTS = tuple(TARGETS)

PATIENCE = 60.0
"""Seconds for the planted fault."""


def units(
    kept: Mapping[str, Unit], parts: Sequence[str] = (), seconds: int | None = None
) -> Iterator[Callable[[], Unit]]:
    """Some targets or every one, once, with a seed of its own that was not used yet."""
    guided.atheris()
    chosen = [name for name in TARGETS if name in (parts or TARGETS)]
    kinds = [name for name in chosen if name in KINDS]
    if names := fuzz.missing(kinds):
        raise SystemExit(guided.MISSING.format(names=names))
    fuzz.preload(kinds)
    for name in chosen:
        kind, seed = TARGETS[name], first_seed(name)
        while f"guided/{name}/by coverage/{seed}" in kept:
            seed += 1
        yield lambda kind=kind, seed=seed: guided.run(kind, seed, seconds or SECONDS)  # type: ignore[misc]


def planted() -> list[Unit]:
    """A crash behind a word of three letters, which a comparison gives away to who sees it."""
    guided.atheris()
    found = guided.run(LOCKED, 0, PATIENCE, to_the_first=True)
    return [replace(found, subject="planted-locked", way="crash")]


def _locked(path: Path) -> None:
    """A reader that fails on one of sixteen million beginnings."""
    content = path.read_bytes()
    if content in LOCKED.seeds():
        return
    if content[:3] == b"und":
        raise ZeroDivisionError("the planted fault")
    raise InputError("no document", hint="write it anew")


LOCKED = Kind("planted", "p.bin", lambda: [b"....", b"........"], _locked, "bytes")


def figures(kept: list[Unit]) -> list[Figure]:
    """All targets together, and each."""
    ours = counted("guided", kept)
    return [
        trap_figure("guided", ours.traps, COMMAND),
        figure("guided: rows and documents", ours.units, ASKED, COMMAND, ours.left_out),
        *figure_of_each("guided", TARGETS, ours.units, COMMAND),
    ]
