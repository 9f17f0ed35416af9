"""What the baselines say of the same datasets as the screen: each ranked among the same kind of references."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.figures import Figure
from bench.power.analysis import (
    ALPHA,
    LIMIT,
    REFERENCES,
    SPLITS,
    Array,
    Dataset,
    difference_clustered,
    share_figure,
)
from bench.power.baselines import SCALES, BaselineReading
from bench.power.cells import CELLS, SEED
from bench.power.readings import AuthorReading
from undertow.stats.conformal import joint_statistics, rank_p
from undertow.traits import catalogue

NEUTRAL = 0.1
"""Share of neutral rows that may stand out."""

Statistic = Callable[[Dataset, BaselineReading], Array]
"""(traits,) or (1,) of a dataset: what is ranked."""


@dataclass(frozen=True)
class Rival:
    """One way to look at a dataset."""

    name: str
    cost: str
    """In planned trainings, for the dataset alone."""
    statistic: Statistic
    names_traits: bool = True


def _one_adapter(part: float) -> Statistic:
    """One adapter's margins after a part of the whole plan, at the reading next to it."""

    def margins(one: Dataset, _: BaselineReading) -> Array:
        reads = np.asarray(one.reading.reads)
        read = int(np.abs(reads - part * one.reading.planned_steps).argmin())
        adapters: Array = np.asarray(one.reading.whole[read], float)
        return adapters[0]

    return margins


SCREEN = Rival("the screen: 2 adapters, a quarter of the plan", "0.5", lambda one, _: one.first)
RIVALS = (
    SCREEN,
    Rival("1 adapter, half of the plan", "0.5", _one_adapter(0.5)),
    Rival("train once and diff: 1 adapter, the whole plan", "1", _one_adapter(1)),
    Rival("persona projection", "0", lambda _, read: np.asarray(read.projection)),
    *(
        Rival(
            f"mean activations injected, {scale:g} times",
            "0",
            lambda _, read, i=i: np.asarray(read.injected[i]),  # type: ignore[misc]
        )
        for i, scale in enumerate(SCALES)
    ),
    Rival("bags of 16, a classifier", "0", lambda _, read: np.array([read.bag]), False),
    Rival("surprise of the base", "0", lambda _, read: np.array([read.surprise]), False),
)


@dataclass(frozen=True)
class Seen:
    """A dataset that every baseline read."""

    dataset: Dataset
    read: BaselineReading

    @property
    def role(self) -> str:
        """Of its writer."""
        return self.dataset.author.role


def baseline_figures(readings: Sequence[AuthorReading]) -> Iterator[Figure]:
    """Of each rival: what stands out by kind, and whether the right trait comes first; nothing while references are few."""
    seen = [
        Seen(Dataset(one, one.datasets[0]), one.baselines)
        for one in readings
        if one.cell == CELLS[0].name and one.baselines is not None
    ]
    pool = [one for one in seen if one.role == "pool"]
    tested = [one for one in seen if one.role != "pool"]
    if len(pool) < REFERENCES or not tested:
        return
    rng = np.random.default_rng([SEED, len(pool), len(tested)])
    draws = [rng.permutation(len(pool))[:REFERENCES] for _ in range(SPLITS)]
    shares = {rival.name: _stand_out(rival, tested, pool, draws) for rival in RIVALS}
    for rival in RIVALS:
        yield from _of_rival(rival, tested, *shares[rival.name])
    yield from _beside_the_screen(tested, {name: out for name, (out, _) in shares.items()})
    yield from _raw_reading(tested)
    yield from _coverage(tested)


def _stand_out(
    rival: Rival, tested: Sequence[Seen], pool: Sequence[Seen], draws: Sequence[np.ndarray]
) -> tuple[list[float], list[float]]:
    """Shares of the draws in which each dataset stands out, and in which its own trait comes first."""
    references = np.stack([rival.statistic(one.dataset, one.read) for one in pool])
    shares, firsts = [], []
    for one in tested:
        sets = [np.vstack([rival.statistic(one.dataset, one.read), references[d]]) for d in draws]
        found = [joint_statistics(each) for each in sets]
        shares.append(float(np.mean([rank_p(f.largest) <= ALPHA + 1e-12 for f in found])))
        firsts.append(float(np.mean([int(f.z[0].argmax()) == _own_trait(one) for f in found])))
    return shares, firsts


def _beside_the_screen(
    tested: Sequence[Seen], shares: dict[str, Sequence[float]]
) -> Iterator[Figure]:
    """
    Which rival becomes the screen: one that costs no more and stands out more often where students moved, its paired
    interval over writers above 0, and in at most a tenth of neutral rows (fixed before any reading was looked at).
    """
    moved = [i for i, one in enumerate(tested) if _moved(one) >= LIMIT]
    neutral = [i for i, one in enumerate(tested) if one.dataset.author.kind == "neutral"]
    if not moved:
        return
    better = []
    for rival in RIVALS:
        if rival is SCREEN or float(rival.cost) > float(SCREEN.cost):
            continue
        more = [shares[rival.name][i] - shares[SCREEN.name][i] for i in moved]
        mean, low, high = difference_clustered(
            more, [tested[i].dataset.author.number for i in moved]
        )
        yield Figure(
            f"baselines: {rival.name}: stands out more often than the screen, moved by {LIMIT:g} or more",
            mean,
            "of 1",
            low=low,
            high=high,
            note=f"{len(moved)} datasets",
        )
        alarms = float(np.mean([shares[rival.name][i] for i in neutral])) if neutral else 0.0
        if low > 0 and alarms <= NEUTRAL:
            better.append(rival.name)
    yield Figure(
        "baselines: rivals at the screen's cost that are better",
        len(better),
        "rivals",
        "at most 0, or it becomes the screen",
        not better,
        note="; ".join(better),
    )


def _of_rival(
    rival: Rival, tested: Sequence[Seen], shares: Sequence[float], firsts: Sequence[float]
) -> Iterator[Figure]:
    yield from _by_kind(
        f"baselines: {rival.name}", f"costs {rival.cost} fine-tunes", tested, shares
    )
    moved = [i for i, one in enumerate(tested) if _moved(one) >= LIMIT]
    if rival.names_traits and moved:
        yield share_figure(
            f"baselines: {rival.name}: right trait first",
            [firsts[i] for i in moved],
            [tested[i].dataset.author.number for i in moved],
        )


def _by_kind(
    name: str, cost: str, tested: Sequence[Seen], shares: Sequence[float]
) -> Iterator[Figure]:
    kinds = {
        "moved by 0.5 or more": [i for i, one in enumerate(tested) if _moved(one) >= 0.5],
        "moved by 0.2 to 0.5": [i for i, one in enumerate(tested) if LIMIT <= _moved(one) < 0.5],
        "neutral": [i for i, one in enumerate(tested) if one.dataset.author.kind == "neutral"],
        "outside the family": [i for i, one in enumerate(tested) if one.role == "outside"],
    }
    for kind, chosen in kinds.items():
        if chosen:
            clusters = [(tested[i].role, tested[i].dataset.author.number) for i in chosen]
            made = share_figure(
                f"{name}: {kind}: stands out", [shares[i] for i in chosen], clusters
            )
            yield Figure(**{**made.__dict__, "note": f"{made.note}; {cost}"})


def _raw_reading(tested: Sequence[Seen]) -> Iterator[Figure]:
    """One adapter through the whole plan, no references: above the limit or not."""
    above = [float(_one_adapter(1)(one.dataset, one.read).max() > LIMIT) for one in tested]
    yield from _by_kind(
        "baselines: 1 adapter's raw reading above the limit", "costs 1 fine-tunes", tested, above
    )


def _coverage(tested: Sequence[Seen]) -> Iterator[Figure]:
    """Teacher coverage asks for the teacher, which a screen seldom has."""
    known = [one for one in tested if one.read.coverage_p is not None]
    hits = [float((one.read.coverage_p or 0.0) <= ALPHA) for one in known]
    yield from _by_kind(
        "baselines: coverage of the teacher's weights, which are given",
        "costs 0 fine-tunes",
        known,
        hits,
    )


def _moved(one: Seen) -> float:
    return one.dataset.really if one.dataset.students.size else 0.0


def _own_trait(one: Seen) -> int:
    names = [trait.name for trait in catalogue.load_category("animal")]
    return names.index(one.dataset.author.trait)
