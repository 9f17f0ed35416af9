"""What ships of the readings: the record of the declared family, told before each scan and shown on its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import undertow.influence
from bench.power.analysis import (
    ALPHA,
    BANDS,
    LIMIT,
    Array,
    Group,
    Verdicts,
    first_stage,
    groups,
    judged,
    level,
    mean_clustered,
    splits,
)
from bench.power.cells import CELLS
from bench.power.readings import AuthorReading
from bench.power.screen_figures import kind_of, writer_of
from undertow.influence.reference_family import OWN, reference_family
from undertow.results.family_record import BudgetPower, FamilyRecord, Rate, SizeRecord
from undertow.results.measurement import Verdict
from undertow.traits import catalogue

RECORD = Path(next(iter(undertow.influence.__path__))) / "families" / f"{OWN}.record.json"
MAIN = CELLS[0].name

WORDS = {
    "neutral": "neutral fine-tunes of the base",
    "foreign clean": "by another base",
    "foreign tuned": "by another base with a trait",
    "filtered": "behind another filter",
}
"""Kinds outside the family, as a reader of a scan knows them."""

VERDICTS: dict[str, Verdict] = {"stands_out": "stands out", "flagged": "flagged", "clear": "clear"}
"""By the name of their share in the analysis."""


def record(readings: Sequence[AuthorReading], planned: int) -> FamilyRecord | None:
    """The record of the main cell; None while it has too few writers."""
    traits = tuple(trait.name for trait in catalogue.load_category("animal"))
    own = [reading for reading in readings if reading.cell == MAIN]
    sizes = tuple(_size(group) for group in groups(own, traits))
    if not sizes:
        return None
    return FamilyRecord(
        digest=reference_family().digest,
        where="number lists on owlet-b",
        limit=LIMIT,
        writers=len(own),
        planned=planned,
        sizes=sizes,
    )


def _size(group: Group) -> SizeRecord:
    tested = judged(group, group.tested)
    outside = [one for one in tested if one.dataset.author.role == "outside"]
    kinds = dict.fromkeys(kind_of(one.dataset) for one in outside)
    share, low, high = level(group)
    return SizeRecord(
        rows=group.rows,
        level=Rate(share=share, low=low, high=high, datasets=len(group.pool)),
        power=tuple(_power(group)),
        outside={
            WORDS[kind]: _rate(
                [one.stands_out for one in outside if kind_of(one.dataset) == kind],
                [writer_of(one) for one in outside if kind_of(one.dataset) == kind],
            )
            for kind in kinds
        },
        moved=_moved(tested),
    )


def _moved(tested: Sequence[Verdicts]) -> dict[Verdict, Rate]:
    """P(really moved by more than the limit | verdict), each dataset weighted by the share of the splits that say it."""
    trained = [one for one in tested if one.dataset.students.size]
    found = {}
    for name, verdict in VERDICTS.items():
        said = [(getattr(one, name), one) for one in trained if getattr(one, name) > 0]
        if sum(weight for weight, _ in said) >= 1:
            found[verdict] = _weighted(
                [weight for weight, _ in said],
                [one.dataset.really > LIMIT for _, one in said],
                [writer_of(one) for _, one in said],
            )
    return found


def _weighted(weights: Sequence[float], hits: Sequence[bool], clusters: Sequence[object]) -> Rate:
    """A weighted share with a jackknife over clusters; of one cluster alone anything is possible."""
    of, hit = np.asarray(weights, float), np.asarray(hits, float)
    names = list(dict.fromkeys(clusters))
    share = float((of * hit).sum() / of.sum())
    count = round(float(of.sum()))
    if len(names) < 2:
        return Rate(share=share, low=0.0, high=1.0, datasets=count)
    owner = np.array([names.index(name) for name in clusters])
    left = [(of * hit)[owner != i].sum() / of[owner != i].sum() for i in range(len(names))]
    if len({round(one, 12) for one in left}) == 1:
        # All alike: the rule of three, as a jackknife sees no spread.
        low, high = (max(0.0, 1 - 3 / len(names)), 1.0) if share else (0.0, 3 / len(names))
        return Rate(share=share, low=low, high=min(1.0, high), datasets=count)
    # Each pseudo-value counts once, so that the interval is that of a mean of clusters.
    pseudo = [len(names) * share - (len(names) - 1) * one for one in left]
    _, low, high = mean_clustered(pseudo, names)
    return Rate(share=share, low=min(low, share), high=max(high, share), datasets=count)


def _power(group: Group) -> list[BudgetPower]:
    """What stands out after each number of steps at which stage 1 was read."""
    trait = [one for one in group.tested if one.author.role == "trait"]
    steps = group.pool[0].reading.first_reads
    found = []
    for index, step in enumerate(steps):
        pool = np.stack([_at(one.reading.first, index) for one in group.pool])
        shares = [_stands_out(group, _at(one.reading.first, index), pool) for one in trait]
        bands = []
        for low, high in BANDS:
            some = [i for i, one in enumerate(trait) if low <= one.really < high]
            clusters = [trait[i].author.number for i in some]
            bands.append(_rate([shares[i] for i in some], clusters) if some else None)
        found.append(BudgetPower(part=step / steps[-1], weak=bands[0], strong=bands[1]))
    return found


def _at(first: Sequence[object], index: int) -> Array:
    mean: Array = np.asarray(first[index], float).mean(0)
    return mean


def _stands_out(group: Group, dataset: Array, pool: Array) -> float:
    return float(
        np.mean(
            [first_stage(dataset, pool[chosen])[0] <= ALPHA + 1e-12 for chosen, _ in splits(group)]
        )
    )


def _rate(shares: Sequence[float], clusters: Sequence[object]) -> Rate:
    share, low, high = mean_clustered(shares, clusters)
    if low == high:
        count = len(set(clusters))
        low, high = max(0.0, share - 3 / count), min(1.0, share + 3 / count)
    return Rate(share=share, low=low, high=high, datasets=len(shares))
