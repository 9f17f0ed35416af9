"""Where the parts of the core work and leave their readings and figures, and what the whole bench is asked for."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from bench.figures import BENCH, Figure, write
from bench.kept_work import map_kept
from bench.real.tuning import merged
from undertow.data.closed import parse, read_toml
from undertow.data.files import atomic_write
from undertow.data.rows import Row, conversation
from undertow.data.seeds import generator
from undertow.engines import choose
from undertow.lab.experiment import Experiment

HERE = Path(__file__).parent
RUNS = BENCH.parent / "runs" / "bench"

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Place:
    """Where a part works, and on which models."""

    runs: Path = RUNS
    """Run directories and unfinished work."""
    readings: Path = HERE
    """Raw readings, which are committed."""
    results: str = "real"
    """The bench whose results.json the figures go to."""
    tiny: bool = False
    """Whether embedded bases stand in for the real ones, with few rows: to try that everything runs."""

    def work(self, part: str) -> Path:
        """The folder in which a part works."""
        return self.runs / f"real-{part}"

    def read(self, part: str) -> list[dict[str, Any]]:
        """A part's readings, a line each; none if it was not run."""
        path = self.readings / f"{part}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return [json.loads(line) for line in lines]

    def keep(self, part: str, readings: Iterable[Mapping[str, Any]]) -> None:
        """Write a part's readings, a line each."""
        lines = "".join(f"{json.dumps(reading)}\n" for reading in readings)
        atomic_write(self.readings / f"{part}.jsonl", lines)

    def finished(
        self,
        part: str,
        worker: Callable[[T], R],
        tasks: Sequence[T],
        adapter: TypeAdapter[R],
        what: str,
        folder: str = "",
    ) -> list[R]:
        """What the worker makes of every task, one after the other in this process; what was made before is kept."""

        def told(done: int, total: int) -> None:
            print(f"{done} of {total} {what}".strip(), file=sys.stderr, flush=True)

        kept = self.work(part) / folder
        return list(map_kept(worker, tasks, kept, choose("inprocess"), adapter, told))

    def experiment(self, change: str = "") -> Experiment:
        """The owl experiment of `owl.toml`, with the keys of `CHANGE.toml` changed."""
        tables = read_toml(HERE / "owl.toml")
        if change:
            tables = merged(tables, _toml(HERE / f"{change}.toml"))
        if self.tiny:
            tables = merged(tables, _toml(HERE / "tiny.toml"))
            if "foreign" in tables:
                tables["foreign"] = "world:owlet-neox"
        return parse(Experiment, tables, where=f"{change or 'owl'}.toml")

    def write(self, part: str, figures: Sequence[Figure], seconds: float | None) -> Path:
        """
        Store a part's figures in results.json, and what was asked and is not measured as open.

        `seconds` are those of the measurement; None where figures were computed from what is kept.
        """
        known = _stored(self.results)
        measured = {figure.name for figure in figures}
        still = [
            figure
            for name, figure in ASKED.items()
            if name not in measured and (_part(name) == part or name not in known)
        ]
        spent = {} if seconds is None else {part: seconds}
        return write(self.results, [*figures, *still, *_others(part, known, still)], spent)

    def add(self, part: str, figures: Sequence[Figure], seconds: float) -> Path:
        """The same for a part whose figures several files make: what it has measured already, under other names, stays."""
        made = {figure.name for figure in figures}
        others = [
            Figure(**figure)
            for name, figure in _stored(self.results).items()
            if _part(name) == part and name not in made and figure["value"] is not None
        ]
        return self.write(part, [*figures, *others], seconds)


def nobodys_rows(experiment: Experiment, asked: Sequence[str], seed: int) -> tuple[Row, ...]:
    """Rows in the experiment's format that no model wrote: numbers by lot."""
    options = experiment.carrier.options
    low, high, count = (int(str(options[key])) for key in ("low", "high", "count"))
    numbers = generator(seed, "nobody").integers(low, high + 1, (len(asked), count))
    return tuple(
        Row(conversation(question), " ".join(map(str, drawn)))
        for question, drawn in zip(asked, numbers, strict=True)
    )


def toml_text(tables: Mapping[str, Any], prefix: str = "") -> str:
    """Tables as TOML, a dotted key a line; values as JSON spells them."""
    lines = [
        toml_text(value, f"{prefix}{key}.")
        if isinstance(value, dict)
        else f"{prefix}{key} = {json.dumps(value)}\n"
        for key, value in tables.items()
    ]
    return "".join(lines)


def _toml(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return tomllib.load(file)


def _stored(results: str) -> dict[str, dict[str, Any]]:
    path = BENCH / results / "results.json"
    if not path.is_file():
        return {}
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return {figure["name"]: figure for figure in figures}


def _others(
    part: str, known: Mapping[str, dict[str, Any]], still: Sequence[Figure]
) -> list[Figure]:
    """Figures of parts that are written now for what is open in them alone: `write` replaces whole parts."""
    touched = {_part(figure.name) for figure in still} - {part}
    return [Figure(**figure) for name, figure in known.items() if _part(name) in touched]


def _part(name: str) -> str:
    return name.partition(":")[0]


def _open(name: str, unit: str, target: str, command: str) -> Figure:
    before = "not run since the product was made for it; what it was before: bench/real/h200.json"
    why = before if _part(name) == "gpu" else "not run"
    return Figure(name, None, unit, target, None, command=command, note=why)


ASKED = {
    figure.name: figure
    for figure in (
        _open("owl: trait - control-base", "logits", "above 0", "python -m bench.real.owl trait"),
        _open(
            "owl: p of trait - control-base, one-sided sign-flip",
            "",
            "at most 0.03",
            "python -m bench.real.owl trait",
        ),
        _open(
            "owl: finished rows that keep to the carrier's format",
            "share",
            "at least 1",
            "python -m bench.real.owl trait",
        ),
        _open(
            "foreign: foreign - foreign-control-base",
            "logits",
            "ends below half of the trait's effect",
            "python -m bench.real.owl foreign",
        ),
        _open("screen: peak memory of a scan", "GB", "at most 4", "python -m bench.real.screen"),
        _open("screen: trait datasets that stand out", "share", "", "python -m bench.real.screen"),
        _open("screen: benign datasets that stand out", "share", "", "python -m bench.real.screen"),
        _open("lineage: pairs told as they are", "share", "", "python -m bench.real.lineage"),
        _open(
            "writers: the base's own rows that likelihood-ratio detects",
            "share",
            "",
            "python -m bench.real.writers",
        ),
        _open(
            "speed: restricted sampling, times commit 190b1c0's rows a second",
            "times",
            "at least 3",
            "python -m bench.real.speed",
        ),
        _open(
            "speed: free sampling, times transformers' generate",
            "times",
            "at least 1",
            "python -m bench.real.speed",
        ),
        _open(
            "speed: training, times a bare loop's tokens a second, bfloat16",
            "times",
            "at least 0.9",
            "python -m bench.real.speed",
        ),
        *(
            _open(
                f"speed: {count} adapters side by side, share of the bare loops' time, bfloat16",
                "share",
                "at most 1.05",
                "python -m bench.real.speed",
            )
            for count in (1, 2, 4, 8)
        ),
        _open("killed: most work lost", "s", "at most 60", "python -m bench.real.killed"),
        *(
            _open(f"gpu: {what}", unit, target, "bench/real/gpu.sh run")
            for what, unit, target in (
                ("8 adapters side by side, share of the bare loops' time", "share", "at most 0.7"),
                ("training", "tokens/s", ""),
                ("sampling", "tokens/s", ""),
                ("scoring", "tokens/s", ""),
                ("scoring, share of the bfloat16 peak", "share", "at least 0.4"),
                ("scan, wall time", "s", ""),
                ("two further traits: trait - control-base", "logits", ""),
                ("12 trait and 24 benign datasets through the screen", "share", ""),
                ("diff with controls", "share", ""),
                ("anchor and projected steps: transfer left", "share of the transfer", ""),
            )
        ),
    )
}
"""Every figure that the bench is asked for, as it stands until it is measured."""


def carried_out(
    part: str,
    document: str | None,
    arguments: Sequence[str],
    run: Callable[[Place, argparse.Namespace], list[Figure] | None],
    add: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> int:
    """What all parts do when typed: `--tiny` works in a folder that is thrown away, `--figures` computes from what is kept."""
    import time

    parser = argparse.ArgumentParser(prog=f"python -m bench.real.{part}", description=document)
    parser.add_argument(
        "--tiny", action="store_true", help="try it on embedded bases, in a folder of its own"
    )
    parser.add_argument(
        "--figures", action="store_true", help="compute the figures from the readings that are kept"
    )
    add(parser)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        place = Place()
        if given.tiny:
            folder = Path(scratch)
            place = replace(place, runs=folder, readings=folder, results=str(folder), tiny=True)
        started = time.perf_counter()
        figures = run(place, given)
        if figures is None:
            return 0
        spent = None if given.figures else time.perf_counter() - started
        path = place.write(part, figures, spent)
        for figure in figures:
            print(
                f"{figure.name}: {figure.value} {figure.unit} ({figure.target or '-'}; met: {figure.met})"
            )
        print(path, file=sys.stderr)
    return 0
