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
from undertow.checks.dataset.reference_trials import ADAPTERS, WHOLE_ADAPTERS, WHOLE_OF_REFERENCE
from undertow.influence.comparison import FEWEST
from undertow.influence.references import TOGETHER
from undertow.stats.conformal import Effect, effect, hopeless, joint_statistics, rank_p
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
    def beginning(self) -> float:
        """Planned trainings that stage 1 takes."""
        return ADAPTERS * self.reading.steps / self.reading.planned_steps

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
    below: Array
    """(traits,) share of the splits in which the whole plan's upper end lies below the limit."""
    references: float
    """That stage 1 makes until it gives a dataset up, mean over splits."""
    kept_up: float
    """Share that stands out and is not given up before."""
    clear_at_once: float
    """Where upper ends hold for all traits at once, too."""
    undecided_at_once: float

    @property
    def within(self) -> float:
        """Share of the splits in which it does not stand out."""
        return 1 - self.stands_out

    @property
    def stage_1(self) -> float:
        """Planned trainings of the beginning, its references too."""
        return self.dataset.beginning * (1 + self.references)

    @property
    def both_stages(self) -> float:
        """The same, and of the whole plan with its references."""
        return self.stage_1 + WHOLE_ADAPTERS + WHOLE_OF_REFERENCE * WHOLE_REFERENCES


def groups(readings: Sequence[AuthorReading], traits: tuple[str, ...]) -> Iterator[Group]:
    """Cells by size; those in which nobody is left to be judged beside as many references as a scan has are left out."""
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
            if len(pool) > REFERENCES + 1:
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


def references_made(dataset: Array, references: Array) -> int:
    """
    How many of (references, traits) a scan makes for (traits,), as many at a time as it trains side by side: all of them,
    unless enough reach as far. A scan with an open search goes on until that has nothing to find either.
    """
    made = 0
    while made < len(references):
        made = min(made + TOGETHER // ADAPTERS, len(references))
        sets = np.vstack([dataset, references[:made]])
        if made >= FEWEST and hopeless(joint_statistics(sets).largest, len(references), ALPHA):
            return made
    return made


def measured_whole(dataset: Array, references: Array) -> tuple[Effect, Effect]:
    """Of (adapters, traits) beside (references, 1, traits): all traits' ends at once, and each trait's own."""
    at_once = effect(dataset, references, 2 * LEVEL - 1, simultaneous=True)
    return at_once, effect(dataset, references, 2 * LEVEL - 1)


def second_stage(dataset: Array, references: Array) -> str:
    """The verdict on (adapters, traits) beside (references, 1, traits)."""
    at_once, each = measured_whole(dataset, references)
    return _verdict(at_once.low, each.high)


def _verdict(low: Array, high: Array) -> str:
    """By lower ends that hold for all traits at once and upper ends of each trait, as a scan takes them."""
    if (low > LIMIT).any():
        return "flagged"
    return "clear" if (high < LIMIT).all() else "undecided"


def of_reference(dataset: Dataset, place: int) -> Array:
    """(adapters of a reference, traits): the whole plan of a pool dataset as the reference of a place."""
    whole = dataset.whole
    return whole[[(place * WHOLE_OF_REFERENCE + i) % len(whole) for i in range(WHOLE_OF_REFERENCE)]]


@dataclass(frozen=True)
class _Split:
    """What one split says of a dataset."""

    out: bool
    p: float
    first: int
    """The trait that lies furthest out."""
    verdict: str
    at_once: str
    """The verdict where upper ends hold for all traits at once, too."""
    below: Array
    references: int


def _split(one: Dataset, references: Array, ends: Array) -> _Split:
    p, z = first_stage(one.first, references)
    at_once, each = measured_whole(one.whole, ends)
    return _Split(
        p <= ALPHA + 1e-12,
        p,
        int(z.argmax()),
        _verdict(at_once.low, each.high),
        _verdict(at_once.low, at_once.high),
        each.high < LIMIT,
        references_made(one.first, references),
    )


def judged(group: Group, datasets: Sequence[Dataset], *, from_pool: bool = False) -> list[Verdicts]:
    """Each dataset by every split; one of the pool by those alone in which it is no reference."""
    pool_first = np.stack([one.first for one in group.pool])
    index = {id(one): i for i, one in enumerate(group.pool)}
    counts: dict[int, list[_Split]] = {id(one): [] for one in datasets}
    for first, whole in splits(group):
        ends = np.stack([of_reference(group.pool[i], place) for place, i in enumerate(whole)])
        taken = {*first.tolist(), *whole.tolist()}
        for one in datasets:
            if from_pool and index[id(one)] in taken:
                continue
            counts[id(one)].append(_split(one, pool_first[first], ends))
    mean = pool_first.mean(0)
    return [
        _summed(group, one, counts[id(one)], one.first - mean)
        for one in datasets
        if counts[id(one)]
    ]


def _summed(group: Group, one: Dataset, seen: Sequence[_Split], moved: Array) -> Verdicts:
    own = group.traits.index(one.author.trait)
    verdicts = [split.verdict for split in seen]

    def share(of: Callable[[_Split], bool]) -> float:
        return float(np.mean([of(split) for split in seen]))

    return Verdicts(
        one,
        share(lambda split: split.out),
        share(lambda split: split.first == own),
        verdicts.count("flagged") / len(seen),
        verdicts.count("clear") / len(seen),
        # Under `--require clear`; what stands out and is not decided stands out.
        share(lambda split: split.verdict == "undecided" and not split.out),
        float(np.mean([split.p for split in seen])),
        moved,
        np.mean([split.below for split in seen], axis=0),
        float(np.mean([split.references for split in seen])),
        share(lambda split: split.out and split.references == REFERENCES),
        share(lambda split: split.at_once == "clear"),
        share(lambda split: split.at_once == "undecided" and not split.out),
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
    mean, low, high = difference_clustered(values, clusters)
    return mean, max(0.0, low), min(1.0, high)


def difference_clustered(
    values: Sequence[float], clusters: Sequence[object]
) -> tuple[float, float, float]:
    """The same of differences of shares, the ends within [-1, 1]."""
    array, names = np.asarray(values, float), list(dict.fromkeys(clusters))
    if len(names) < 2:
        return float(array.mean()), -1.0, 1.0
    owner = np.array([names.index(cluster) for cluster in clusters])
    left = np.array([array[owner != i].mean() for i in range(len(names))])
    count = len(names)
    error = np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum())
    half = float(t_quantile((1 + LEVEL) / 2, count - 1) * error)
    mean = float(array.mean())
    return mean, max(-1.0, mean - half), min(1.0, mean + half)


def weighted_share(
    weights: Sequence[float], hits: Sequence[float], clusters: Sequence[object]
) -> tuple[float, float, float]:
    """(share, low, high) with weights, by a jackknife over clusters; of one cluster alone anything is possible."""
    of, hit = np.asarray(weights, float), np.asarray(hits, float)
    names = list(dict.fromkeys(clusters))
    share = float((of * hit).sum() / of.sum())
    owner = np.array([names.index(name) for name in clusters])
    rests = [of[owner != i].sum() for i in range(len(names))]
    if len(names) < 2 or not all(rests):
        return share, 0.0, 1.0
    left = [(of * hit)[owner != i].sum() / rest for i, rest in enumerate(rests)]
    if len({round(one, 12) for one in left}) == 1:
        # All alike: the rule of three, as a jackknife sees no spread.
        low, high = (max(0.0, 1 - 3 / len(names)), 1.0) if share else (0.0, 3 / len(names))
        return share, low, min(1.0, high)
    # Each pseudo-value counts once, so that the interval is that of a mean of clusters.
    pseudo = [len(names) * share - (len(names) - 1) * one for one in left]
    _, low, high = mean_clustered(pseudo, names)
    return share, min(low, share), max(high, share)


def level(group: Group) -> tuple[float, float, float]:
    """
    (share, low, high) of in-family datasets that stand out, over random splits of the pool into references and tested.

    The interval counts writers and sets of references as clusters, both at once (Cameron, Gelbach & Miller, Journal of
    Business & Economic Statistics 29, 2011), with Student's t. The share itself is 1 / (REFERENCES + 1) on average over
    splits, whoever the writers are: the rank does not know which of 20 datasets is the tested one.
    """
    firsts = np.stack([one.first for one in group.pool])
    tested, out = _level_hits(firsts)
    count = len(firsts)
    share = float(out.sum() / tested.sum())
    rest = np.where(tested, out - share, 0.0)
    by_writer = (rest.sum(0) ** 2).sum()
    more = (rest.sum(1) ** 2).sum() - (rest**2).sum()
    error = np.sqrt(count / (count - 1) * (by_writer + max(0.0, more))) / tested.sum()
    half = float(t_quantile((1 + LEVEL) / 2, count - 1) * error)
    return share, max(0.0, share - half), min(1.0, share + half)


def _level_hits(firsts: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(splits, writers): whether each is tested, and stands out, in each split of (writers, traits)."""
    rng = np.random.default_rng([SEED, len(firsts), SPLITS])
    tested = np.ones((SPLITS, len(firsts)), bool)
    out = np.zeros_like(tested)
    for split in range(SPLITS):
        order = rng.permutation(len(firsts))
        references = order[:REFERENCES]
        tested[split, references] = False
        for i in order[REFERENCES:]:
            out[split, i] = first_stage(firsts[i], firsts[references])[0] <= ALPHA + 1e-12
    return tested, out


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
