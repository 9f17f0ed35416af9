"""What ships of the readings: the record of the declared family, told before each scan and shown on its page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from bench.power.screen_figures import kind_of, moved_by_verdict, writer_of
from undertow.influence.reference_family import OWN, reference_family
from undertow.results.family_record import BudgetPower, FamilyRecord, OtherKind, Rate, SizeRecord
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

ELSEWHERE = {
    ("code", "neutral"): "neutral fine-tunes of the base that write code",
    ("sums", "neutral"): "neutral fine-tunes of the base that write worked sums",
    ("corpus", "corpus"): "text of the corpus, which no model wrote",
}
"""Kinds outside the family on other prompts, by cell and kind."""


def record(readings: Sequence[AuthorReading], planned: int) -> FamilyRecord | None:
    """The record of the main cell; None while it has too few writers."""
    traits = tuple(trait.name for trait in catalogue.load_category("animal"))
    own = [reading for reading in readings if reading.cell == MAIN]
    sizes = tuple(_size(group) for group in groups(own, traits))
    if not sizes:
        return None
    others = [reading for reading in readings if reading.cell != MAIN]
    return FamilyRecord(
        elsewhere=tuple(one for group in groups(others, traits) for one in _elsewhere(group)),
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


def _elsewhere(group: Group) -> Iterator[OtherKind]:
    """Benign rows on the prompts of another cell."""
    outside = judged(group, [one for one in group.tested if one.author.role == "outside"])
    for kind in dict.fromkeys(kind_of(one.dataset) for one in outside):
        some = [one for one in outside if kind_of(one.dataset) == kind]
        rate = _rate([one.stands_out for one in some], [writer_of(one) for one in some])
        yield OtherKind(kind=ELSEWHERE[group.cell, kind], rows=group.rows, rate=rate)


def _moved(tested: Sequence[Verdicts]) -> dict[Verdict, Rate]:
    """P(really moved by more than the limit | verdict)."""
    return {
        verdict: Rate(share=share, low=low, high=high, datasets=round(count))
        for verdict, count, (share, low, high) in moved_by_verdict(tested)
    }


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
