"""
How many replicates three claims need, and at which setting: `python -m bench.lab.sizing [NAME ...]`; `--dry-run` says how long.

Harmful answers through code and through worked sums, and owls through preference pairs, were not shown for want of runs. Each
is measured on tuning seeds over the teacher's strength, rows and rank, every combination of two levels in three replicates;
the scatter of a run and the effect give the replicates by a formula (`replicates_for`), and a rule gives the setting
(`bench.lab.choice`). Units of work are the lab's jobs, kept under runs/bench.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

from bench.figures import BENCH, Figure, tell, write
from bench.lab.cost import Cost, cost_of, told
from undertow.cli.progress import shown_progress
from undertow.lab.experiment import Experiment, load_as
from undertow.lab.experiment_run import run_experiment
from undertow.lab.run_directory import RUNS
from undertow.results.run_document import RunDocument
from undertow.results.store import read_run
from undertow.stats import smallest_p_two_sample

COMMAND = "python -m bench.lab.sizing"
ALPHA, POWER = 0.05, 0.9
CAUTION = 0.25
"""The effect that is counted with: the quantile of what the tuning runs leave open, as a search flatters what it chooses."""

FEWEST, MOST = 6, 24
"""Replicates: the issue asks for six; beyond the most a setting is given up."""

REPLICATES = 3

STRENGTHS, ROWS_TIMES, RANKS = (0.09, 0.15), (1, 2), (8, 32)
"""Of harmful teachers; rows as multiples of the experiment's; ranks of students."""

PAIR_STRENGTHS, POOLS = (0.15, 0.25), (4_096, 8_192)

CONTROLS = ("secure", "educational", "neutral")

BEFORE = BENCH / "lab"
"""Where the experiments lie as they stood before they were sized."""


@dataclass(frozen=True)
class Claim:
    """What is to be shown, and how many tests stand beside it in its experiment."""

    name: str
    field: str
    """Field of a run that the claim is in: the unit of its test."""
    unit: str
    tests: int
    """Comparisons of the experiment in that unit, over which Holm corrects."""
    seed: int
    """For tuning; used for nothing else."""


CLAIMS = {
    "code": Claim("code", "probability", "probability", 9, 61_211),
    "chain_of_thought": Claim("chain_of_thought", "probability", "probability", 9, 61_212),
    "preference": Claim("preference", "logit_margin", "logits", 3, 61_213),
}


@dataclass(frozen=True)
class Reading:
    """One setting beside one control."""

    setting: str
    control: str
    effect: float
    error: float
    """Standard error of the effect."""
    scatter: float
    """Standard deviation of a run of an arm over replicates, pooled over the claim's arms and settings."""

    @property
    def cautious(self) -> float:
        """The effect's lower quantile."""
        return self.effect + float(distributions.norm.ppf(CAUTION)) * self.error


def power(effect: float, scatter: float, runs: int, alpha: float) -> float:
    """
    Of a two-sided two-sample t test with so many runs an arm: noncentral t (Cohen, Statistical Power Analysis, 1988, ch. 2).

    The exact permutation test that the lab makes has nearly its power where runs are near normal, and none where its least p
    is above alpha.

    >>> round(power(1.0, 1.0, 23, 0.05), 2)
    0.91
    """
    if smallest_p_two_sample(runs, runs) > alpha:
        return 0.0
    degrees = 2 * runs - 2
    away = effect / scatter * np.sqrt(runs / 2)
    beyond = distributions.t.isf(alpha / 2, degrees)
    return float(distributions.nct.sf(beyond, degrees, away))


def replicates_for(effect: float, scatter: float, tests: int) -> int | None:
    """
    The fewest replicates with `POWER` at `ALPHA` over `tests`, the first step of Holm's correction: what it asks at most.

    None where `MOST` are too few.
    """
    alpha = ALPHA / tests
    enough = (n for n in range(FEWEST, MOST + 1) if power(effect, scatter, n, alpha) >= POWER)
    return next(enough, None)


def before(name: str) -> Experiment:
    """An experiment as it stood when its sizing was fixed."""
    return load_as(Experiment, str(BEFORE / f"sizing-{name}.toml"))


def experiments_of(claim: Claim) -> list[Experiment]:
    """What is run: one of kind `cells` for a carrier, one a setting for pairs."""
    if claim.name == "preference":
        return [
            _pairs(claim, *setting) for setting in itertools.product(PAIR_STRENGTHS, POOLS, RANKS)
        ]
    return [_cells(claim)]


def _cells(claim: Claim) -> Experiment:
    base = before("misaligned")
    carrier = base.carried(claim.name)
    cells = [
        {
            "name": f"{role} {setting_name(kl, rows * carrier.rows, rank)}",
            "writers": [{"role": role, "teacher": {"kl": kl}}],
            "rows": rows * carrier.rows,
            "student": {"rank": rank},
        }
        for kl, rows, rank in itertools.product(STRENGTHS, ROWS_TIMES, RANKS)
        for role in ("trait", *CONTROLS)
    ]
    tables = base.model_dump(exclude_unset=True) | {
        "name": f"sizing-{claim.name.replace('_', '-')}",
        "kind": "cells",
        "seed": claim.seed,
        "replicates": REPLICATES,
        "carrier": carrier.model_dump(exclude_unset=True),
        "cells": cells,
    }
    del tables["carriers"], tables["arms"]
    return Experiment.model_validate(tables)


def _pairs(claim: Claim, kl: float, pool: int, rank: int) -> Experiment:
    base = before("preference")
    tables = base.model_dump(exclude_unset=True)
    tables |= {
        "name": f"sizing-preference-{kl:g}-{pool}-{rank}".replace(".", "-"),
        "seed": claim.seed,
        "replicates": REPLICATES,
        "arms": ["preferences", "preferences-by-lot", "preferences-control"],
        "teacher": tables["teacher"] | {"kl": kl},
        "preference": tables["preference"] | {"pool": pool},
        "student": tables["student"] | {"rank": rank},
    }
    return Experiment.model_validate(tables)


def setting_name(kl: float, rows: int, rank: int) -> str:
    """Of a teacher's strength, rows (or a pool of pairs), and a student's rank."""
    return f"kl {kl:g}, {rows} rows, rank {rank}"


Arms = dict[str, dict[str, list[float]]]
"""By setting, then by arm: one number a replicate."""


def arms_of(claim: Claim, documents: Sequence[RunDocument]) -> Arms:
    """Every setting's arms; the trait's is called `trait`."""
    arms: Arms = {}
    for experiment, document in zip(experiments_of(claim), documents, strict=True):
        for run in document.arms:
            if run.arm == "base":
                continue
            if claim.name == "preference":
                setting = setting_name(
                    experiment.teacher.kl or 0.0,
                    experiment.preference.pool,
                    experiment.student.rank,
                )
                arm = {"preferences": "trait"}.get(run.arm, run.arm)
            else:
                arm, _, setting = run.arm.partition(" ")
            arms.setdefault(setting, {}).setdefault(arm, []).append(
                float(getattr(run, claim.field))
            )
    return arms


def readings_of(arms: Arms) -> list[Reading]:
    """
    Each setting beside each of its controls.

    A run's scatter is that of a comparison: the root of the mean of the trait's variance and of the controls', over
    replicates, which renew teacher, rows and student, each pooled over its arms and settings. A test is of one arm of the
    one kind and one of the other, however many controls stand beside the trait.
    """
    kinds = [
        [
            np.var(sample, ddof=1)
            for of in arms.values()
            for arm, sample in of.items()
            if is_ours(arm)
        ]
        for is_ours in (lambda arm: arm == "trait", lambda arm: arm != "trait")
    ]
    scatter = float(np.sqrt(np.mean([np.mean(variances) for variances in kinds])))
    return [
        Reading(
            setting,
            control,
            float(np.mean(of["trait"]) - np.mean(of[control])),
            scatter * float(np.sqrt(1 / len(of["trait"]) + 1 / len(of[control]))),
            scatter,
        )
        for setting, of in arms.items()
        for control in of
        if control != "trait"
    ]


def components(arms: Arms) -> tuple[float, float]:
    """
    Standard deviations of (what replicates of an arm share over its settings, what is left), by the mean squares of a two-way
    layout without interaction; the first is 0 where the second explains it.
    """
    shared, left = [], []
    for arm in next(iter(arms.values())):
        table = np.array([of[arm] for of in arms.values()])  # (settings, replicates)
        centred = table - table.mean(axis=1, keepdims=True)
        means = centred.mean(axis=0)
        settings, replicates = table.shape
        residual = centred - means
        within = float((residual**2).sum()) / max(1, (settings - 1) * (replicates - 1))
        between = settings * float((means**2).sum()) / (replicates - 1)
        left.append(within)
        shared.append(max(0.0, (between - within) / settings))
    return float(np.sqrt(np.mean(shared))), float(np.sqrt(np.mean(left)))


def figures_of(claim: Claim, arms: Arms) -> list[Figure]:
    """Scatter and its parts, each effect, and the replicates that each setting needs for all its controls."""
    readings = readings_of(arms)
    teachers, rest = components(arms)
    part = f"sizing {claim.name}"
    told_of = [
        Figure(f"{part}: scatter of a run", readings[0].scatter, claim.unit, command=COMMAND),
        Figure(f"{part}: of it, what replicates share over settings", teachers, claim.unit),
        Figure(f"{part}: of it, the rest", rest, claim.unit),
    ]
    for reading in readings:
        name = f"{part}: {reading.setting}: trait - {reading.control}"
        told_of.append(
            Figure(name, reading.effect, claim.unit, note=f"standard error {reading.error:.3g}")
        )
    for setting in arms:
        beside = [reading for reading in readings if reading.setting == setting]
        for what, effects in (
            ("at the estimates", [reading.effect for reading in beside]),
            ("at their lower quartiles", [reading.cautious for reading in beside]),
        ):
            needed = [replicates_for(e, beside[0].scatter, claim.tests) for e in effects]
            enough = None if None in needed else max(n for n in needed if n)
            note = "" if enough else f"more than {MOST}"
            name = f"{part}: {setting}: replicates {what}"
            told_of.append(Figure(name, enough, "replicates", command=COMMAND, note=note))
    return told_of


def costs() -> Iterator[Cost]:
    """Of every claim's experiments."""
    for claim in CLAIMS.values():
        yield from map(cost_of, experiments_of(claim))


def main(names: Sequence[str]) -> int:
    """Measure what is named, all by default, and write the figures."""
    if "--dry-run" in names:
        print(told(costs()))
        return 0
    for name in names or CLAIMS:
        arms, taken = measured_arms(CLAIMS[name])
        figures = figures_of(CLAIMS[name], arms)
        tell(figures, write("lab", figures, {f"sizing {name}": taken}))
    return 0


def measured_arms(claim: Claim) -> tuple[Arms, float]:
    """Of a claim's runs, made or resumed under runs/bench, and the seconds that they took."""
    documents = []
    for experiment in experiments_of(claim):
        with shown_progress() as progress:
            folder = RUNS / "bench" / experiment.name
            run = run_experiment(experiment, folder, progress=progress, command=COMMAND)
        documents.append(read_run(run / "results.json"))
    return arms_of(claim, documents), sum(document.wall_seconds for document in documents)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
