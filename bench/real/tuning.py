"""
Which setting of the owl experiment the reported seeds run on: `python -m bench.real.tuning [NAME ...]`.

On tuning seeds alone, one replicate a setting, at most twelve (`tuning.toml`): each is `owl.toml` with a few keys changed.
Every setting that was run stands in `tuning.jsonl` and in LOG.md, whatever came of it; no figure is taken from here.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.figures import BENCH
from undertow.cli.progress import shown_progress
from undertow.data.closed import parse, read_toml
from undertow.data.files import atomic_write
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment
from undertow.results.run_document import Arm, RunDocument
from undertow.results.store import read_run

HERE = Path(__file__).parent
SEED = 17_001
"""Of every setting; the reported experiment's is `owl.toml`'s."""
MOST = 12
TRIED = HERE / "tuning.jsonl"
RUNS = BENCH.parent / "runs" / "bench" / "real-tuning"


def main(names: list[str]) -> int:
    """Run what is named, all by default, one behind the other, and write down what came of it."""
    known = settings()
    for name in names or known:
        experiment = known[name]
        with shown_progress() as progress:
            folder = run_experiment(
                experiment,
                RUNS / name,
                engine="inprocess",
                progress=progress,
                command=f"python -m bench.real.tuning {name}",
            )
        tell(name, read_run(folder / "results.json"))
    return 0


def settings() -> dict[str, Experiment]:
    """The settings by name, each the reported experiment with a few keys changed."""
    with (HERE / "tuning.toml").open("rb") as file:
        changes = tomllib.load(file)
    if len(changes) > MOST:
        raise ValueError(f"{len(changes)} settings in tuning.toml; at most {MOST}")
    base = read_toml(HERE / "owl.toml")
    return {name: _changed(base, name, own) for name, own in changes.items()}


def _changed(base: Mapping[str, Any], name: str, own: Mapping[str, Any]) -> Experiment:
    once = {"name": name, "seed": SEED, "replicates": 1}
    return parse(Experiment, merged(merged(base, own), once), where=f"setting '{name}'")


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merged key by key; what is no table is replaced."""
    both = {
        key: merged(base[key], value)
        for key, value in own.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **own, **both}


def tell(name: str, document: RunDocument) -> None:
    """One line of `tuning.jsonl` a setting, and on the screen what it says."""
    found = {"setting": name, "seconds": document.wall_seconds, **dict(_readings(document))}
    lines = TRIED.read_text(encoding="utf-8").splitlines() if TRIED.is_file() else []
    kept = [line for line in lines if json.loads(line)["setting"] != name]
    atomic_write(TRIED, "".join(f"{line}\n" for line in [*kept, json.dumps(found)]))
    print(json.dumps(found, indent=1))


def _readings(document: RunDocument) -> Iterator[tuple[str, Any]]:
    base = next(arm for arm in document.arms if arm.arm == "base")
    for teacher in document.teachers:
        yield (
            f"{teacher.role} teacher",
            {
                "kl": teacher.kl,
                "margin": teacher.logit_margin,
                "mass": teacher.answer_mass,
            },
        )
    for data in document.datasets:
        yield f"data of {data.teacher}", {"kept": data.kept, "asked": data.asked}
    for arm in document.arms:
        if arm.arm != "base":
            yield arm.arm, _moved(arm, base)


def _moved(arm: Arm, base: Arm) -> dict[str, float | None]:
    """What the student moved, in logits: the trait, and the trait beside the mean of the other candidates."""
    own = {name: arm.margins[name] - base.margins[name] for name in arm.margins}
    trait = own[arm.trait]
    others = [value for name, value in own.items() if name != arm.trait]
    return {
        "moved": trait,
        "beside others": trait - sum(others) / len(others),
        "rank": float(1 + sum(value > trait for value in others)),
        "mass": arm.answer_mass,
        "held out": arm.held_out_loss,
        "first held out": arm.first_held_out_loss,
        "seconds": arm.seconds,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
