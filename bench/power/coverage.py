"""
`python -m bench.power.coverage`: what the statistics of `undertow.stats.conformal` hold in simulations (4 minutes on a free core).

Writes coverage.json: the coverage of effects' intervals by the rule for the dataset's variance, by design and by how the
dataset's adapters scatter; how often the level of one draw of references lies above what is guaranteed; and what giving
a dataset up early spares and costs. Nothing is trained: between references lies .4 of the variance within them, and two
factors make half of 16 traits' variance, as in readings of the embedded world (6 to 8 independent traits).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from scipy import special

from bench.figures import BENCH
from undertow.data.files import atomic_write
from undertow.stats.arguments import Vector
from undertow.stats.conformal import (
    allowed_rank,
    effect,
    guaranteed_level,
    hopeless,
    joint_statistics,
    rank_p,
)

SEED = 71_001
RUNS = 2000
TRAITS = 16
BETWEEN = 0.4
"""Variance between references over that within them."""

DESIGNS = ((2, 8), (2, 19), (2, 59), (4, 8), (4, 19), (4, 59), (8, 8))
"""Adapters a set, references."""

PRIORS = (0.0, 2.0, 3.0, 4.0, 8.0, 1e6)
"""Without a prior each trait stands by itself (Welch); the last lets all traits grow alike."""

LOADINGS = np.random.default_rng(3).normal(size=(2, TRAITS))
DIRECTION = np.array([1.0, 0.5, 0.5, 0.5] + [0.0] * (TRAITS - 4))

Noise = Callable[..., Vector]
Halves = Vector
"""(2, traits) half widths at 95 %: of each trait by itself, and of all at once."""
Rule = Callable[[Vector, Vector], Halves]
TAILS = np.array([[1 - 0.025], [1 - 0.025 / TRAITS]])


def normal(rng: np.random.Generator, *shape: int) -> Vector:
    """(*shape, TRAITS) of variance 1, half of it from two factors."""
    shared = rng.normal(size=(*shape, 2)) @ (LOADINGS / np.linalg.norm(LOADINGS, axis=0))
    noise: Vector = math.sqrt(0.5) * (shared + rng.normal(size=(*shape, TRAITS)))
    return noise


def heavy(rng: np.random.Generator, *shape: int) -> Vector:
    """The same with Student's tails of 5 degrees, common to all traits, of variance 1."""
    noise: Vector = normal(rng, *shape) * np.sqrt(3 / rng.chisquare(5, (*shape, 1)))
    return noise


def along(size: float) -> Callable[[Vector, np.random.Generator], Vector]:
    """Further scatter in one direction: so much variance in trait 0, a quarter of it in three others."""
    return lambda noise, rng: (
        noise + math.sqrt(size) * rng.normal(size=(*noise.shape[:-1], 1)) * DIRECTION
    )


SCATTER: dict[str, tuple[Noise, Callable[[Vector, np.random.Generator], Vector]]] = {
    "as references": (normal, lambda noise, rng: noise),
    "as references, heavy tails": (heavy, lambda noise, rng: noise),
    "twice": (normal, lambda noise, rng: 2 * noise),
    "three times": (normal, lambda noise, rng: 3 * noise),
    "each trait by its own factor, 1 to 3": (
        normal,
        lambda noise, rng: noise * 3 ** rng.uniform(size=(len(noise), 1, TRAITS)),
    ),
    "three times in one direction alone": (normal, along(8.0)),
    # What tuned teachers' datasets show: all traits grow, the taught one most.
    "twice, and 3.5 times that variance in one direction": (
        normal,
        lambda noise, rng: 2 * along(2.5)(noise, rng),
    ),
}


def borrowing(prior: float) -> Rule:
    """The rule as it is built, by its prior."""

    def rule(dataset: Vector, others: Vector) -> Halves:
        built = effect(dataset, others, prior_degrees=prior)
        quantiles = special.stdtrit(built.degrees, TAILS)
        return (built.high - built.low) / 2 * quantiles / quantiles[0]

    return rule


def as_references(dataset: Vector, others: Vector) -> Halves:
    """The dataset is taken to scatter as references do: their pooled variance."""
    sets, adapters, _ = others.shape
    within = others.var(axis=1, ddof=1).mean(axis=0) / len(dataset)
    return _satterthwaite(others, within, sets * (adapters - 1))


def larger(dataset: Vector, others: Vector) -> Halves:
    """The larger of its own variance and the references'."""
    sets, adapters, _ = others.shape
    within, alone = others.var(axis=1, ddof=1).mean(axis=0), dataset.var(axis=0, ddof=1)
    degrees = np.where(alone > within, len(dataset) - 1, sets * (adapters - 1))
    return _satterthwaite(others, np.maximum(alone, within) / len(dataset), degrees)


def alone_by_cochran(dataset: Vector, others: Vector) -> Halves:
    """Its own variance, the t quantiles of both sides weighted by their parts (Cochran & Cox 1950)."""
    first, second = dataset.var(axis=0, ddof=1) / len(dataset), _between(others)
    quantiles = [special.stdtrit(n - 1, TAILS) for n in (len(dataset), len(others))]
    return (first * quantiles[0] + second * quantiles[1]) / np.sqrt(first + second)


def _satterthwaite(others: Vector, first: Vector, degrees: Vector | int) -> Halves:
    second = _between(others)
    total = first + second
    free = total**2 / (first**2 / degrees + second**2 / (len(others) - 1))
    return special.stdtrit(free, TAILS) * np.sqrt(total)


def _between(others: Vector) -> Vector:
    variance: Vector = others.mean(axis=1).var(axis=0, ddof=1) / len(others)
    return variance


RULES: dict[str, Rule] = {
    "as references": as_references,
    "larger": larger,
    "alone, Cochran": alone_by_cochran,
    **{f"prior {prior:g}": borrowing(prior) for prior in PRIORS},
}


def coverage() -> Iterator[dict[str, object]]:
    """One entry a case of scatter, design and rule."""
    for case, (adapters, references) in product(SCATTER, DESIGNS):
        noise, scattered = SCATTER[case]
        rng = np.random.default_rng(SEED)
        datasets = scattered(noise(rng, RUNS, adapters), rng)
        others = math.sqrt(BETWEEN) * noise(rng, RUNS, references, 1)
        others = others + noise(rng, RUNS, references, adapters)
        for name, rule in RULES.items():
            yield {
                "scatter": case,
                "adapters": adapters,
                "references": references,
                "rule": name,
                **_covered(rule, datasets, others),
            }


def _covered(rule: Rule, datasets: Vector, others: Vector) -> dict[str, float]:
    # (runs, 2, traits): each trait by itself, and all at once.
    halves = np.stack([rule(*pair) for pair in zip(datasets, others, strict=True)])
    errors = datasets.mean(axis=1) - others.mean(axis=(1, 2))
    covered = np.abs(errors)[:, None] <= halves
    return {
        "mean": round(float(covered[:, 0].mean()), 4),
        "trait 0": round(float(covered[:, 0, 0].mean()), 4),
        "simultaneous": round(float(covered[:, 1].all(axis=1).mean()), 4),
        "half width": round(float(np.median(halves[:, 0])), 3),
        "widest simultaneous half width": round(float(np.median(halves[:, 1].max(axis=1))), 3),
    }


def guarantees(draws: int = 1000, new: int = 1000) -> Iterator[dict[str, object]]:
    """How often the level of a draw of references, under the joint scale, is above the guaranteed one (nominal .05)."""
    for tails, references in product(("normal", "heavy"), (19, 59)):
        noise = normal if tails == "normal" else heavy
        rng = np.random.default_rng(SEED)
        levels = []
        for _ in range(draws):
            kept = noise(rng, references)
            sets = np.concatenate(
                [noise(rng, new, 1), np.broadcast_to(kept, (new, references, TRAITS))], axis=1
            )
            largest = joint_statistics(sets).largest
            levels.append(float(np.mean([rank_p(row) <= 0.05 for row in largest])))
        yield {
            "tails": tails,
            "references": references,
            "rank": allowed_rank(references, 0.05),
            "guaranteed": round(guaranteed_level(references, 0.05), 4),
            "mean level": round(float(np.mean(levels)), 4),
            "95 % quantile": round(float(np.quantile(levels, 0.95)), 4),
            "share above": float(np.mean(np.array(levels) > guaranteed_level(references, 0.05))),
        }


def stopping(families: int = 1000) -> Iterator[dict[str, object]]:
    """What giving up early spares, and the power that it costs, by how far one trait is moved (standard deviations)."""
    for references, shift in product((19, 59), (0.0, 3.0, 4.0, 5.0, 7.0)):
        moved = normal(np.random.default_rng(SEED), families, references + 1)
        moved[:, 0, 0] += shift
        out = np.array([rank_p(row) <= 0.05 for row in joint_statistics(moved).largest])
        partial = [joint_statistics(moved[:, : n + 1]).largest for n in range(1, references + 1)]
        for slack in (0, 1, 2, 3):
            made = np.array([_made([part[i] for part in partial], slack) for i in range(families)])
            yield {
                "references": references,
                "shift": shift,
                "slack": slack,
                "power without stopping": round(float(out.mean()), 4),
                "lost": round(float((out & (made < references)).mean()), 4),
                "references made": round(float(made.mean()), 2),
            }


def _made(looks: list[Vector], slack: int) -> int:
    for n, row in enumerate(looks, start=1):
        if hopeless(row, len(looks), 0.05, slack=slack):
            return n
    return len(looks)


def _table(entries: Iterator[dict[str, object]]) -> dict[str, list[object]]:
    rows = list(entries)
    return {"columns": list(rows[0]), "rows": [list(row.values()) for row in rows]}


def main() -> None:
    """Simulate and write coverage.json."""
    document = {
        "command": "python -m bench.power.coverage",
        "runs": RUNS,
        "coverage": _table(coverage()),
        "guarantees": _table(guarantees()),
        "stopping": _table(stopping()),
    }
    text = json.dumps(document).replace("[[", "[\n[").replace("], [", "],\n[")
    atomic_write(BENCH / "power" / "coverage.json", text + "\n")


if __name__ == "__main__":
    main()
