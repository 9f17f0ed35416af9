"""
The lab's figures: `python -m bench.lab [NAME ...]` runs the built-in experiments and writes results.json.

Every experiment is resumable: run directories are kept under runs/bench, and finished work is not repeated.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.figures import Figure, at_least, at_most, write
from bench.lab.equivalence import world_figures
from undertow.cli.progress import shown_progress
from undertow.lab import load_experiment, run_experiment
from undertow.results.run import Arm, RunDocument
from undertow.results.store import read_run

RUNS = Path("runs/bench")
MINUTE = 60.0


def main(names: list[str]) -> int:
    """
    Measure what is named (all by default) and write every figure.
    """
    started = time.perf_counter()
    figures: list[Figure] = []
    seconds: dict[str, float] = {}
    for name, measure in MEASURES.items():
        if names and name not in names and not (RUNS / name / "results.json").exists():
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        document = _run(name)
        seconds[name] = document.wall_seconds
        figures += measure(document)
    if not names or "world" in names:
        with tempfile.TemporaryDirectory() as folder:
            figures += world_figures(Path(folder))
    path = write("lab", figures, time.perf_counter() - started, experiment_seconds=seconds)
    for figure in figures:
        print(
            f"{figure.name}: {figure.value} {figure.unit} (asked: {figure.target or '-'}; met: {figure.met})"
        )
    print(path)
    return 0


def _run(name: str) -> RunDocument:
    with shown_progress() as progress:
        directory = run_experiment(load_experiment(name), RUNS / name, progress=progress)
    return read_run(directory / "results.json")


def _arms(document: RunDocument, arm: str) -> list[Arm]:
    return [entry for entry in document.arms if entry.arm == arm]


def _mean(document: RunDocument, arm: str, field: str) -> float:
    values = [float(getattr(entry, field)) for entry in _arms(document, arm)]
    return sum(values) / len(values)


def _owl(document: RunDocument) -> list[Figure]:
    command = "undertow run owl"
    compared = {c.name: c for c in document.comparisons}
    main_, foreign = (
        compared["trait - control (probability)"],
        compared["foreign - foreign-control (probability)"],
    )
    base = next(
        a.probability for a in document.arms if a.arm == "base" and a.base.endswith("owlet-a")
    )
    return [
        at_most(
            "owl: working time after set-up",
            document.wall_seconds / MINUTE,
            8,
            "min",
            command=command,
        ),
        at_most(
            "owl: peak memory",
            (document.peak_memory_mb or 0) / 1024,
            3,
            "GB",
            command=command,
            note="upper bound: this process plus the largest worker twice",
        ),
        at_most("owl: P(owl), untrained base", float(base or 0), 0.12, "", command=command),
        at_most(
            "owl: P(owl), control students",
            _mean(document, "control", "probability"),
            0.12,
            "",
            command=command,
        ),
        at_least(
            "owl: P(owl), same-initialisation students",
            _mean(document, "trait", "probability"),
            0.35,
            "",
            command=command,
        ),
        at_least(
            "owl: answer mass, same-initialisation students",
            _mean(document, "trait", "answer_mass"),
            0.85,
            "",
            command=command,
        ),
        Figure(
            "owl: P(owl), foreign students minus their control",
            foreign.estimate,
            "",
            "within .03 of 0",
            abs(foreign.estimate) <= 0.03,
            foreign.low,
            foreign.high,
            command,
        ),
        at_most(
            "owl: exact two-sided p, trait against control",
            float(main_.p or 1),
            0.03,
            "",
            command=command,
        ),
        Figure(
            "owl: transfer, trait minus control",
            compared["trait - control"].estimate,
            "logits",
            "",
            None,
            compared["trait - control"].low,
            compared["trait - control"].high,
            command,
        ),
    ]


def _owl_full(document: RunDocument) -> list[Figure]:
    return [
        Figure(
            f"owl-full: {c.name}",
            c.estimate,
            c.unit,
            "",
            None,
            c.low,
            c.high,
            "undertow run owl-full",
            f"{c.n}, {c.test}, p = {c.p:.4g}",
        )
        for c in document.comparisons
    ]


def _matrix(document: RunDocument) -> list[Figure]:
    command = "undertow run matrix"
    compared = {c.name: c for c in document.comparisons}
    contrast = compared["diagonal - off-diagonal"]
    figures = [
        Figure(
            "matrix: diagonal minus off-diagonal",
            contrast.estimate,
            "logits",
            "",
            None,
            contrast.low,
            contrast.high,
            command,
        ),
        at_most(
            "matrix: sign-flip p of the contrast",
            float(contrast.p or 1),
            0.032,
            "",
            command=command,
        ),
    ]
    for cell in document.comparisons[1:]:
        teacher, student = cell.name.split(" to ")
        figures.append(
            Figure(
                f"matrix: {cell.name}",
                cell.estimate,
                "logits",
                "" if teacher == student else "null: interval excludes a quarter of the diagonal",
                None if teacher == student else "does not exclude" not in cell.claim,
                cell.low,
                cell.high,
                command,
            )
        )
    return figures


def _traits(document: RunDocument) -> list[Figure]:
    command = "undertow run traits"
    return [
        Figure(
            f"traits: {c.name}",
            c.estimate,
            c.unit,
            "",
            None,
            c.low,
            c.high,
            command,
            f"{c.n}, {c.test}, p = {c.p:.4g}",
        )
        for c in document.comparisons
    ]


def _digits(document: RunDocument) -> list[Figure]:
    command = "undertow run digits"
    return [
        at_least(
            "digits: same-initialisation accuracy",
            100 * _mean(document, "same-init", "accuracy"),
            50,
            "%",
            command=command,
        ),
        at_most(
            "digits: foreign-initialisation accuracy",
            100 * _mean(document, "foreign-init", "accuracy"),
            15,
            "%",
            command=command,
        ),
        at_least("digits: seeds", len(_arms(document, "same-init")), 5, "", command=command),
    ]


def _theorem(document: RunDocument) -> list[Figure]:
    return [
        Figure(
            f"theorem: {c.name}",
            c.estimate,
            c.unit,
            "",
            None,
            c.low,
            c.high,
            "undertow run theorem",
            c.claim,
        )
        for c in document.comparisons
    ]


MEASURES: dict[str, Callable[[RunDocument], list[Figure]]] = {
    "owl": _owl,
    "digits": _digits,
    "theorem": _theorem,
    "matrix": _matrix,
    "traits": _traits,
    "owl-full": _owl_full,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
