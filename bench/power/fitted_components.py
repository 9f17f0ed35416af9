"""
Variance components of the readings, and what the intervals of effects hold in simulations that are drawn from them.

A reading of trait t by adapter a of dataset j is taken as m_t + s_at + b_jt + w_jat: all datasets share the adapters' first
weights and order of rows (s), each has an effect of its own (b), the rest (w) scatters with its kind of dataset. All are
normal over traits, with covariances by moments of the pool (a two-way layout), those of w by the kind.

`python -m bench.power.fitted_components` prints how often rows of the family would be clear by other numbers of adapters
and references, from the committed readings (a minute of a core).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.figures import BENCH, Figure
from bench.power.analysis import (
    LEVEL,
    LIMIT,
    REFERENCES,
    WHOLE_REFERENCES,
    Dataset,
    Group,
    groups,
)
from bench.power.cells import SEED
from bench.power.raw_readings import read_readings
from undertow.checks.dataset.reference_trials import WHOLE_OF_REFERENCE
from undertow.stats.conformal import effect
from undertow.traits import catalogue

Array = NDArray[np.float64]

RUNS = 2000
LEAST, MOST = 0.93, 0.97


@dataclass(frozen=True)
class Components:
    """Square roots of covariances, (traits, traits): noise times their transpose has the covariance."""

    adapters: Array
    datasets: Array
    rest: Array
    """Of datasets of the family."""


@dataclass(frozen=True)
class Scatter:
    """How the adapters of one kind of dataset scatter beyond what all share."""

    rest: Array
    """Of a dataset of mean growth 1."""
    growth: Array
    """(datasets,) its variance over the family's, mean over traits."""


def fitted(pool: Array) -> Components:
    """Components of (datasets, adapters, traits), at least 2 of each."""
    sets, adapters, _ = pool.shape
    rows, columns = pool.mean(1), pool.mean(0)
    rest = pool - rows[:, None] - columns + pool.mean((0, 1))
    within = np.einsum("jat,jau->tu", rest, rest) / ((sets - 1) * (adapters - 1))
    return Components(
        _root(_covariance(columns) - within / sets),
        _root(_covariance(rows) - within / adapters),
        _root(within),
    )


def scatter(readings: Array, pool: Array) -> Scatter:
    """Of (datasets, adapters, traits) of one kind, beyond the adapters' parts that the pool shows."""
    own = readings - (pool.mean(0) - pool.mean((0, 1)))
    rest = own - own.mean(1)[:, None]
    free = readings.shape[1] - 1
    variances = (rest**2).sum(1) / free
    within = np.square(fitted(pool).rest).sum(1)
    growth = (variances / within).mean(1)
    scaled = rest / np.sqrt(growth)[:, None, None]
    mean = np.einsum("jat,jau->tu", scaled, scaled) / (len(readings) * free)
    return Scatter(_root(mean), growth)


def covered(
    components: Components,
    kind: Scatter,
    adapters: int,
    references: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """
    (runs,): the share of traits whose own interval at LEVEL holds the dataset's effect, and whether all at once do.

    Args:
        adapters: of the dataset.
        references: how many, and adapters of each.
    """
    traits = len(components.rest)
    single, joint = np.zeros(RUNS), np.zeros(RUNS)
    for run in range(RUNS):
        shared, others = _references(components, adapters, references, rng)
        true = rng.normal(size=traits) @ components.datasets.T
        scale = np.sqrt(rng.choice(kind.growth))
        own = scale * rng.normal(size=(adapters, traits)) @ kind.rest.T
        dataset = true + shared + own
        alone = effect(dataset, others, LEVEL)
        together = effect(dataset, others, LEVEL, simultaneous=True)
        single[run] = np.mean((alone.low <= true) & (true <= alone.high))
        joint[run] = np.all((together.low <= true) & (true <= together.high))
    return single, joint


def _references(
    components: Components, adapters: int, references: tuple[int, int], rng: np.random.Generator
) -> tuple[Array, Array]:
    """What a dataset's adapters share with all others, (adapters, traits), and (references, adapters of each, traits)."""
    count, each = references

    def noise(*shape: int) -> Array:
        return rng.normal(size=(*shape, len(components.rest)))

    shared = noise(max(adapters, count)) @ components.adapters.T
    others = noise(count, 1) @ components.datasets.T + noise(count, each) @ components.rest.T
    # References of one adapter each take turns; of several, each has the dataset's.
    others += shared[:count, None] if each == 1 else shared[:each]
    return shared[:adapters], others


def own_growth(readings: Array, pool: Array, own: Sequence[int]) -> float:
    """
    How much more variance adapters have in their teacher's own trait than in the others, beside the pool's.

    Args:
        readings: (datasets, adapters, traits).
        own: the trait of each dataset.
    """
    rest = readings - (pool.mean(0) - pool.mean((0, 1)))
    variances = rest.var(1, ddof=1) / np.square(fitted(pool).rest).sum(1)
    mine = variances[np.arange(len(own)), list(own)]
    return float((mine / variances.mean(1)).mean())


def below_at_the_limit(
    components: Components, kind: Scatter, more: float, adapters: int, rng: np.random.Generator
) -> Array:
    """
    (runs,): whether the upper end lies below the limit in a trait that moves by the limit itself.

    Args:
        more: growth of that trait's variance beyond the dataset's (`own_growth`).
        adapters: of the dataset; references are those of the whole plan.
    """
    traits, missed = len(components.rest), np.zeros(RUNS)
    for run in range(RUNS):
        shared, others = _references(components, adapters, (WHOLE_REFERENCES, 1), rng)
        own = int(rng.integers(traits))
        true = rng.normal(size=traits) @ components.datasets.T
        true[own] = LIMIT
        noise = rng.normal(size=(adapters, traits)) @ kind.rest.T
        noise[:, own] *= np.sqrt(more)
        rows = true + shared + np.sqrt(rng.choice(kind.growth)) * noise
        missed[run] = effect(rows, others, 2 * LEVEL - 1).high[own] < LIMIT
    return missed


def simulated(name: str, group: Group) -> Iterator[Figure]:
    """Coverage of both stages' intervals, for rows of the family and for rows with a trait."""
    trait = [one for one in group.tested if one.author.role == "trait"]
    stages = (
        ("the beginning", _beginning, (REFERENCES, 0)),
        ("the whole plan", _end, (WHOLE_REFERENCES, WHOLE_OF_REFERENCE)),
    )
    for stage, read, (count, each) in stages:
        pool = np.stack([read(one) for one in group.pool])
        components, adapters = fitted(pool), pool.shape[1]
        for words, some in (("in-family rows", group.pool), ("rows with a trait", trait)):
            if len(some) < 2:
                continue
            kind = scatter(np.stack([read(one) for one in some]), pool)
            rng = np.random.default_rng([SEED, group.rows, count, len(some)])
            shape = (count, each or adapters)
            single, joint = covered(components, kind, adapters, shape, rng)
            what = f"{name}: {words}: intervals of {stage}, simulated from the fitted components"
            share = float(single.mean())
            target = (f"{LEAST:g} to {MOST:g}", LEAST <= share <= MOST)
            yield Figure(
                f"{what}: a trait's", share, "share", *target, *_ends(single), note=RUN_NOTE
            )
            yield Figure(
                f"{what}: all at once",
                float(joint.mean()),
                "share",
                f"at least {LEAST:g}",
                bool(joint.mean() >= LEAST),
                *_ends(joint),
                note=RUN_NOTE,
            )


def simulated_at_the_limit(name: str, group: Group) -> Iterator[Figure]:
    """How often the whole plan's upper end is wrong where it matters most."""
    tuned = [one for one in group.tested if one.author.kind == "tuned"]
    trait = [one for one in tuned if one.author.role == "trait"]
    if len(trait) < 2:
        return
    pool, readings = (np.stack([_end(one) for one in some]) for some in (group.pool, trait))
    own = [group.traits.index(one.author.trait) for one in trait]
    rng = np.random.default_rng([SEED, group.rows, len(trait)])
    more, kind = own_growth(readings, pool, own), scatter(readings, pool)
    wrong = below_at_the_limit(fitted(pool), kind, more, readings.shape[1], rng)
    low, high = _ends(wrong)
    yield Figure(
        f"{name}: below the limit although it moves a trait by {LIMIT:g}, simulated from the fitted components",
        float(wrong.mean()),
        "share",
        "at most 0.05, within the simulation's error",
        bool(low <= 1 - LEVEL),
        low,
        high,
        note=f"{RUN_NOTE}; the trait's variance is {more:.2g} times the others'",
    )


DESIGNS = ((8, 8), (8, 16), (16, 8), (12, 12), (16, 16), (24, 24), (32, 32))
"""Adapters of a dataset, references of one adapter each."""


def cleared(
    components: Components, adapters: int, references: int, rng: np.random.Generator
) -> float:
    """Share of RUNS datasets of the family whose every upper end lies below the limit."""
    traits, clear = len(components.rest), 0
    for _ in range(RUNS):
        shared, others = _references(components, adapters, (references, 1), rng)
        own = rng.normal(size=traits) @ components.datasets.T
        own = own + rng.normal(size=(adapters, traits)) @ components.rest.T
        found = effect(own + shared, others, 2 * LEVEL - 1)
        clear += bool((found.high < LIMIT).all())
    return clear / RUNS


def main() -> int:
    """Print it for each cell and size."""
    traits = tuple(trait.name for trait in catalogue.load_category("animal"))
    for group in groups(read_readings(BENCH / "power" / "readings.parquet"), traits):
        components = fitted(np.stack([_end(one) for one in group.pool]))
        told = ", ".join(
            f"{adapters} beside {count}: {cleared(components, adapters, count, rng):.0%}"
            for adapters, count in DESIGNS
            for rng in [np.random.default_rng([SEED, group.rows, adapters, count])]
        )
        print(f"{group.cell}, {group.rows:,} rows: clear with adapters beside references: {told}")
    return 0


RUN_NOTE = f"{RUNS:,} simulations, interval of the simulation alone"


def _beginning(one: Dataset) -> Array:
    return np.asarray(one.reading.first[-1], float)


def _end(one: Dataset) -> Array:
    return one.whole


def _ends(values: Sequence[float] | Array) -> tuple[float, float]:
    """The 95 % interval of a mean of simulations."""
    array = np.asarray(values, float)
    half = 1.96 * float(array.std(ddof=1)) / np.sqrt(len(array))
    return max(0.0, float(array.mean()) - half), min(1.0, float(array.mean()) + half)


def _covariance(rows: Array) -> Array:
    found: Array = np.atleast_2d(np.cov(rows, rowvar=False))
    return found


def _root(covariance: Array) -> Array:
    """A matrix whose product with its transpose is the covariance, of which what is negative by chance is left out."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root: Array = vectors * np.sqrt(np.clip(values, 0.0, None))
    return root


if __name__ == "__main__":
    sys.exit(main())
