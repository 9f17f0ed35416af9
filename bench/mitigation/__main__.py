"""
`python -m bench.mitigation` tries every countermeasure on every dataset of the design, and writes results.json.

`--finished` writes the figures of what is finished so far. Units of work are kept in runs/bench/mitigation, so that an interrupted bench goes on where it stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.figures import BENCH, Figure, at_most, write
from bench.kept_work import kept_files, map_kept, read_kept
from bench.mitigation.design import (
    COST,
    LEAST_LEARNED,
    LEAST_MOVED,
    LIMIT,
    SEEDS,
    Task,
    tasks,
)
from bench.mitigation.outcome import OUTCOMES, Outcome, try_arms
from bench.statistics import ratio_of_means
from undertow.engines import choose
from undertow.stats import Interval, mean_t

COMMAND = "python -m bench.mitigation"
WORK = BENCH.parent / "runs" / "bench" / "mitigation"

UNTREATED = ("plain", "nothing")
"""Arms without a countermeasure, of students trained alone and side by side."""

DESIGNATED = (("anchor", "without a trait's name"), ("project", "with the trait's name"))
"""Chosen on the tuning seed."""


@dataclass(frozen=True)
class Dataset:
    """Rows of one kind at one dose, with the outcomes of each arm by replicate."""

    name: str
    arms: dict[str, tuple[Outcome, ...]]
    untreated: dict[str, str]
    """For each arm, that of its group without a countermeasure."""

    def values(self, arm: str, field: str) -> NDArray[np.float64]:
        """One value a replicate."""
        return np.array([getattr(one, field) for one in self.arms[arm]], dtype=float)

    def left(self, arm: str) -> Interval:
        """Share of the transfer that is left."""
        free = self.values(self.untreated[arm], "moved")
        return _share(self.values(arm, "moved"), free, LEAST_MOVED)

    def cost(self, arm: str) -> Interval:
        """By how much the task's held-out loss is higher than without a countermeasure, as a share of it."""
        free = self.values(self.untreated[arm], "task_loss")
        return mean_t(self.values(arm, "task_loss") / free - 1)

    def learned(self, arm: str) -> Interval:
        """Share of what training gained on the task's held-out loss that is still gained."""
        start = self.values("no training", "task_loss")
        free = self.values(self.untreated[arm], "task_loss")
        return _share(start - self.values(arm, "task_loss"), start - free, LEAST_LEARNED)

    def rest(self, arm: str) -> Interval:
        """By how much the loss on other questions is higher than the base's, as a share of it."""
        start = self.values("no training", "neutral_loss")
        return mean_t(self.values(arm, "neutral_loss") / start - 1)


def _share(above: NDArray[np.float64], below: NDArray[np.float64], least: float) -> Interval:
    """
    Mean share over replicates with its t interval; where some replicate has too little below to be a share of, the ratio
    of means, whose interval (Fieller's) may be unbounded.
    """
    return mean_t(above / below) if below.min() >= least else ratio_of_means(above, below)


def main() -> int:
    """Measure and write the figures."""
    planned = tasks()
    files = kept_files(WORK, len(planned))
    if "--finished" not in sys.argv[1:]:
        map_kept(
            try_arms,
            planned,
            WORK,
            choose("processes"),
            OUTCOMES,
            lambda done, total: print(f"{done} of {total}", file=sys.stderr, flush=True),
        )
    done = [
        (task, read_kept(file, OUTCOMES))
        for task, file in zip(planned, files, strict=True)
        if file.is_file()
    ]
    found = datasets(done)
    figures = [*_asked(found, len(done), len(planned)), *(f for d in found for f in _figures(d))]
    seconds = {d.name: float(sum(o.seconds for a in d.arms.values() for o in a)) for d in found}
    print(write("mitigation", figures, seconds))
    return 0


def datasets(done: Sequence[tuple[Task, list[Outcome]]]) -> list[Dataset]:
    """The outcomes by dataset and arm; a group of arms counts once all its replicates are there."""
    groups: dict[tuple[str, float, str], list[tuple[int, list[Outcome]]]] = {}
    for task, outcomes in done:
        groups.setdefault((task.kind, task.dose, task.group), []).append((task.number, outcomes))
    found: dict[str, Dataset] = {}
    for (kind, dose, _), units in groups.items():
        if len(units) < SEEDS:
            continue
        name = f"{kind} {dose:.0%}"
        made = found.setdefault(name, Dataset(name, {}, {}))
        ordered = [outcomes for _, outcomes in sorted(units, key=lambda unit: unit[0])]
        free = next(one.arm for one in ordered[0] if one.arm in UNTREATED)
        for i, one in enumerate(ordered[0]):
            if one.arm not in made.arms:
                made.arms[one.arm] = tuple(outcomes[i] for outcomes in ordered)
                made.untreated[one.arm] = free
    return list(found.values())


def _asked(found: Sequence[Dataset], done: int, planned: int) -> list[Figure]:
    figures = [
        Figure(
            "all: units of work that were finished",
            done,
            "",
            f"{planned}",
            done == planned,
            command=COMMAND,
        )
    ]
    for dataset in found:
        crosses = max(dataset.values(arm, "moved").mean() for arm in dataset.untreated.values())
        for arm, what in DESIGNATED:
            if arm not in dataset.arms or crosses < LEAST_MOVED:
                continue
            left, cost = dataset.left(arm), dataset.cost(arm)
            more = {"low": left.low, "high": left.high, "command": COMMAND}
            figures += [
                at_most(
                    f"all: transfer left by `{arm}`, {what}, on {dataset.name}",
                    left.estimate,
                    LIMIT,
                    "share of the transfer",
                    **_finite(more),
                ),
                Figure(
                    f"all: held-out loss that `{arm}` costs on {dataset.name}",
                    100 * cost.estimate,
                    "%",
                    f"below {100 * COST:g}",
                    cost.estimate < COST,
                    100 * cost.low,
                    100 * cost.high,
                    COMMAND,
                ),
            ]
    certified = [one for d in found for one in d.arms.get("certify", ())]
    broken = sum((one.furthest or 0) > 1 for one in certified)
    strayed = [abs(one.held_out or 0) for one in certified]
    figures.append(
        at_most(
            "all: certified runs that violated their certificate",
            broken,
            0,
            "",
            command=COMMAND,
            note=f"{len(certified)} runs; on wordings that nothing was held to they moved "
            f"by {max(strayed, default=0):.2f} logits at most",
        )
    )
    return figures


def _figures(dataset: Dataset) -> list[Figure]:
    figures = []
    for arm in dataset.arms:
        if arm == "no training":
            continue
        own = f"{dataset.name}: {arm}"
        for what, interval, unit, scale in (
            ("transfer", mean_t(dataset.values(arm, "moved")), "logit", 1),
            ("transfer left", dataset.left(arm), "share", 1),
            ("largest other trait", mean_t(dataset.values(arm, "largest_other")), "logit", 1),
            ("held-out loss lost", dataset.cost(arm), "%", 100),
            ("of the task learned", dataset.learned(arm), "share", 1),
            ("loss on other questions", dataset.rest(arm), "%", 100),
            ("seconds", mean_t(dataset.values(arm, "seconds")), "s", 1),
        ):
            figures.append(
                Figure(
                    f"{own}: {what}",
                    scale * interval.estimate,
                    unit,
                    command=COMMAND,
                    note=f"{interval.n} replicates",
                    **_finite({"low": scale * interval.low, "high": scale * interval.high}),
                )
            )
    return figures


def _finite(limits: dict[str, object]) -> dict[str, object]:
    """JSON has no infinity: an interval that is unbounded has no limits."""
    return {
        key: value
        for key, value in limits.items()
        if not isinstance(value, float) or np.isfinite(value)
    }


if __name__ == "__main__":
    sys.exit(main())
