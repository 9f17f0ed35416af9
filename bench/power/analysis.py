"""
What the readings say of the screen: its level, power, verdicts and intervals, as they were fixed before any was seen.

A scan has one draw of references, and the level of one draw is a matter of luck: every rate is averaged over SPLITS random
splits of a cell's pool into J references and the rest, which is tested. Intervals are clustered by writer: a jackknife over
the writers of the pool and of the tested datasets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure
from bench.power.cells import SEED
from bench.power.readings import AuthorReading, DatasetReading
from bench.statistics import clustered_share
from undertow.checks.dataset.reference_trials import WHOLE_OF_REFERENCE
from undertow.stats.conformal import effect, joint_statistics, rank_p
from undertow.stats.interval import t_quantile

Array = NDArray[np.float64]

REFERENCES, WHOLE_REFERENCES = 19, 8
SPLITS = 100
ALPHA, LEVEL, LIMIT = 0.05, 0.95, 0.2
BANDS = ((0.2, 0.5), (0.5, np.inf))
"""Logits by which students really moved."""


@dataclass(frozen=True)
class Dataset:
    """One dataset with its writer."""

    author: AuthorReading
    reading: DatasetReading

    @property
    def first(self) -> Array:
        """(traits,) of stage 1."""
        mean: Array = np.asarray(self.reading.first[-1], float).mean(0)
        return mean

    @property
    def whole(self) -> Array:
        """(adapters, traits) at the end of stage 2."""
        return np.asarray(self.reading.whole[-1], float)

    @property
    def students(self) -> Array:
        """(students, traits)."""
        return np.asarray(self.reading.students, float)

    @property
    def really(self) -> float:
        """Logits by which students moved most on average, whatever the trait."""
        return float(self.students.mean(0).max())


@dataclass(frozen=True)
class Group:
    """The datasets of a cell of one size."""

    cell: str
    rows: int
    traits: tuple[str, ...]
    pool: tuple[Dataset, ...]
    tested: tuple[Dataset, ...]
    """With a trait, and benign ones outside the family."""


@dataclass(frozen=True)
class Verdicts:
    """What a scan would say of a dataset, a share of the splits each."""

    dataset: Dataset
    stands_out: float
    right_first: float
    """Share of the splits in which the writer's trait lies furthest out."""
    flagged: float
    clear: float
    undecided: float
    p: float
    """Mean over splits."""
    effect: Array
    """(traits,) of stage 1, mean over splits."""


def groups(readings: Sequence[AuthorReading], traits: tuple[str, ...]) -> Iterator[Group]:
    """Cells by size; those with fewer references than a scan has are left out."""
    for cell in dict.fromkeys(reading.cell for reading in readings):
        own = [reading for reading in readings if reading.cell == cell]
        for rows in sorted({one.rows for reading in own for one in reading.datasets}):
            datasets = [
                Dataset(reading, one)
                for reading in own
                for one in reading.datasets
                if one.rows == rows
            ]
            pool = tuple(one for one in datasets if one.author.role == "pool")
            tested = tuple(one for one in datasets if one.author.role != "pool")
            if len(pool) > REFERENCES:
                yield Group(cell, rows, traits, pool, tested)


def splits(group: Group) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(references, references of the whole plan) of each split, as indices of the pool; the two do not overlap where they need not."""
    rng = np.random.default_rng([SEED, group.rows, len(group.pool)])
    chosen = []
    for _ in range(SPLITS):
        order = rng.permutation(len(group.pool))
        # Of a small pool the references of the beginning serve twice, or nobody would be left to be judged.
        first = REFERENCES if len(order) > REFERENCES + WHOLE_REFERENCES else 0
        whole = order[first:][:WHOLE_REFERENCES]
        chosen.append((order[:REFERENCES], whole))
    return chosen


def first_stage(dataset: Array, references: Array) -> tuple[float, Array]:
    """(p, z of each trait) of (traits,) among (references, traits)."""
    joint = joint_statistics(np.vstack([dataset, references]))
    return rank_p(joint.largest), joint.z[0]


def second_stage(dataset: Array, references: Array) -> str:
    """The verdict on (adapters, traits) beside (references, 1, traits)."""
    measured = effect(dataset, references, 2 * LEVEL - 1, simultaneous=True)
    if (measured.low > LIMIT).any():
        return "flagged"
    return "clear" if (measured.high < LIMIT).all() else "undecided"


def of_reference(dataset: Dataset, place: int) -> Array:
    """(adapters of a reference, traits): the whole plan of a pool dataset as the reference of a place."""
    whole = dataset.whole
    return whole[[(place * WHOLE_OF_REFERENCE + i) % len(whole) for i in range(WHOLE_OF_REFERENCE)]]


def judged(group: Group, datasets: Sequence[Dataset], *, from_pool: bool = False) -> list[Verdicts]:
    """Each dataset by every split; one of the pool by those alone in which it is no reference."""
    pool_first = np.stack([one.first for one in group.pool])
    index = {id(one): i for i, one in enumerate(group.pool)}
    counts: dict[int, list[tuple[float, Array, str]]] = {id(one): [] for one in datasets}
    for first, whole in splits(group):
        ends = np.stack([of_reference(group.pool[i], place) for place, i in enumerate(whole)])
        taken = {*first.tolist(), *whole.tolist()}
        for one in datasets:
            if from_pool and index[id(one)] in taken:
                continue
            p, z = first_stage(one.first, pool_first[first])
            counts[id(one)].append((p, z, second_stage(one.whole, ends)))
    mean = pool_first.mean(0)
    return [
        _summed(group, one, counts[id(one)], one.first - mean)
        for one in datasets
        if counts[id(one)]
    ]


def _summed(
    group: Group, one: Dataset, seen: Sequence[tuple[float, Array, str]], moved: Array
) -> Verdicts:
    own = group.traits.index(one.author.trait)
    verdicts = [verdict for *_, verdict in seen]

    def share(of: Callable[[tuple[float, Array, str]], bool]) -> float:
        return float(np.mean([of(entry) for entry in seen]))

    return Verdicts(
        one,
        share(lambda entry: entry[0] <= ALPHA + 1e-12),
        share(lambda entry: int(entry[1].argmax()) == own),
        verdicts.count("flagged") / len(seen),
        verdicts.count("clear") / len(seen),
        # Under `--require clear`; what stands out and is not decided stands out.
        share(lambda entry: entry[2] == "undecided" and entry[0] > ALPHA + 1e-12),
        float(np.mean([entry[0] for entry in seen])),
        moved,
    )


def lower_end(students: Array) -> Array:
    """(...,) lower 95 % end of the mean of (students, ...) logits, one-sided."""
    error = students.std(0, ddof=1) / np.sqrt(len(students))
    lower: Array = students.mean(0) - t_quantile(LEVEL, len(students) - 1) * error
    return lower


def mean_clustered(
    values: Sequence[float], clusters: Sequence[object]
) -> tuple[float, float, float]:
    """(mean, low, high) of values by a jackknife over clusters, with Student's t; the ends within [0, 1]."""
    array, names = np.asarray(values, float), list(dict.fromkeys(clusters))
    if len(names) < 2:
        return float(array.mean()), 0.0, 1.0
    owner = np.array([names.index(cluster) for cluster in clusters])
    left = np.array([array[owner != i].mean() for i in range(len(names))])
    count = len(names)
    error = np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum())
    half = t_quantile((1 + LEVEL) / 2, count - 1) * error
    mean = float(array.mean())
    return mean, max(0.0, mean - half), min(1.0, mean + half)


def level(group: Group) -> tuple[float, float, float]:
    """
    (share, low, high) of in-family datasets that stand out: a jackknife over the writers of the pool, each left out both as
    a reference and as a tested dataset.
    """
    firsts = np.stack([one.first for one in group.pool])
    whole = _level(firsts, SPLITS)
    left = np.array([_level(np.delete(firsts, i, 0), SPLITS // 4) for i in range(len(firsts))])
    count = len(firsts)
    error = np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum())
    half = t_quantile((1 + LEVEL) / 2, count - 1) * error
    return whole, max(0.0, whole - half), min(1.0, whole + half)


def _level(firsts: Array, count: int) -> float:
    rng = np.random.default_rng([SEED, len(firsts), count])
    hits = []
    for _ in range(count):
        order = rng.permutation(len(firsts))
        references, rest = firsts[order[:REFERENCES]], order[REFERENCES:]
        hits += [first_stage(firsts[i], references)[0] <= ALPHA + 1e-12 for i in rest]
    return float(np.mean(hits))


def share_figure(
    name: str, hits: Sequence[float], clusters: Sequence[object], **more: object
) -> Figure:
    """A mean of shares with its clustered interval; exact where every one is 0 or 1."""
    if all(hit in (0.0, 1.0) for hit in hits):
        interval = clustered_share([int(hit) for hit in hits], [1] * len(hits))
        value, low, high = interval.estimate, interval.low, interval.high
    else:
        value, low, high = mean_clustered(hits, clusters)
    return Figure(name, value, "share", low=low, high=high, note=f"{len(hits)} datasets", **more)  # type: ignore[arg-type]
