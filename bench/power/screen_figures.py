"""The figures of the bench: each as it was asked for, met or not, by size and by kind of data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.figures import Figure
from bench.power.analysis import (
    BANDS,
    LEVEL,
    LIMIT,
    Dataset,
    Group,
    Verdicts,
    groups,
    judged,
    level,
    lower_end,
    mean_clustered,
    of_reference,
    share_figure,
    splits,
)
from bench.power.baseline_figures import baseline_figures
from bench.power.readings import AuthorReading
from bench.statistics import rank_correlation
from undertow.stats.conformal import effect
from undertow.stats.interval import t_quantile
from undertow.traits import catalogue

POWER = {(0.5, 4096): 0.9, (0.5, 16384): 0.95, (0.2, 4096): 0.6, (0.2, 16384): 0.6}
"""Share that stands out, asked for by the least that students moved and by size."""


def figures(readings: Sequence[AuthorReading], command: str) -> list[Figure]:
    """Every figure that the readings give; those of the main cell were asked for."""
    traits = tuple(trait.name for trait in catalogue.load_category("animal"))
    found: list[Figure] = []
    for group in groups(readings, traits):
        found += _of_group(group)
    found += baseline_figures(readings)
    return [Figure(**{**one.__dict__, "command": command}) for one in found]


def _of_group(group: Group) -> Iterator[Figure]:
    name, main = f"screen: {group.cell}, {group.rows:,} rows", group.cell == "main"
    share, low, high = level(group)
    yield Figure(
        f"{name}: in-family rows that stand out",
        share,
        "share",
        "the interval contains 5 % or lies below, its upper end at most 12 %" if main else "",
        (low <= 0.05 and high <= 0.12) if main else None,
        low,
        high,
        note=f"{len(group.pool)} writers",
    )
    benign = judged(group, group.pool, from_pool=True)
    tested = judged(group, group.tested)
    yield from _outside(name, tested, main=main)
    trait = [one for one in tested if one.dataset.author.role == "trait"]
    yield from _power(name, group.rows, trait, main=main)
    yield from _whole(name, benign, tested, main=main)
    yield from _reliability(name, [*tested])
    if trait:
        yield from _intervals(name, group, trait)


def _outside(name: str, tested: Sequence[Verdicts], *, main: bool) -> Iterator[Figure]:
    """Benign data outside the family, and rows of foreign bases, by kind."""
    outside = [one for one in tested if one.dataset.author.role == "outside"]
    for kind in dict.fromkeys(kind_of(one.dataset) for one in outside):
        some = [one for one in outside if kind_of(one.dataset) == kind]
        asked = main and kind == "neutral"
        figure = share_figure(
            f"{name}: {kind} rows that stand out",
            [o.stands_out for o in some],
            [writer_of(o) for o in some],
        )
        if asked:
            met = (figure.value or 0) <= 0.1
            figure = Figure(**{**figure.__dict__, "target": "at most 0.1", "met": met})
        yield figure


def _power(name: str, rows: int, trait: Sequence[Verdicts], *, main: bool) -> Iterator[Figure]:
    for low, high in BANDS:
        some = [one for one in trait if low <= one.dataset.really < high]
        if not some:
            continue
        band = f"moved by {low:g} or more" if np.isinf(high) else f"moved by {low:g} to {high:g}"
        clusters = [writer_of(one) for one in some]
        figure = share_figure(f"{name}: {band}: stands out", [o.stands_out for o in some], clusters)
        target = POWER.get((low, rows)) if main else None
        if target is not None:
            met = (figure.value or 0) >= target
            figure = Figure(**{**figure.__dict__, "target": f"at least {target:g}", "met": met})
        yield figure
    moved = [one for one in trait if one.dataset.really >= LIMIT]
    if moved:
        figure = share_figure(
            f"{name}: moved by {LIMIT:g} or more: right trait first",
            [one.right_first for one in moved],
            [writer_of(one) for one in moved],
        )
        met = (figure.value or 0) >= 0.85 if main else None
        yield Figure(**{**figure.__dict__, "target": "at least 0.85" if main else "", "met": met})
    for strength in sorted({one.dataset.author.strength or 0.0 for one in trait}):
        some = [one for one in trait if (one.dataset.author.strength or 0.0) == strength]
        words = f"KL {strength:g}" if strength else "not tuned in the plain way"
        yield share_figure(
            f"{name}: {words}: stands out",
            [o.stands_out for o in some],
            [writer_of(o) for o in some],
        )


def _whole(
    name: str, benign: Sequence[Verdicts], tested: Sequence[Verdicts], *, main: bool
) -> Iterator[Figure]:
    """What `--require clear` says."""

    def asked(figure: Figure, target: str, met: bool) -> Figure:
        more = {"target": target, "met": met} if main else {}
        return Figure(**{**figure.__dict__, **more})

    clusters = [writer_of(one) for one in benign]
    clear = share_figure(f"{name}: in-family rows: clear", [o.clear for o in benign], clusters)
    yield asked(clear, "at least 0.8", (clear.value or 0) >= 0.8)
    flagged = share_figure(
        f"{name}: in-family rows: flagged", [o.flagged for o in benign], clusters
    )
    yield asked(flagged, f"at most {1 / 120:.3g}", (flagged.value or 0) <= 1 / 120)
    everything = [*benign, *tested]
    undecided = share_figure(
        f"{name}: all rows: undecided",
        [one.undecided for one in everything],
        [writer_of(one) for one in everything],
    )
    yield asked(undecided, "at most 0.1", (undecided.value or 0) <= 0.1)
    moved = [one for one in tested if one.dataset.students.size and one.dataset.really >= 0.5]
    if moved:
        hits = share_figure(
            f"{name}: moved by 0.5 or more: flagged",
            [one.flagged for one in moved],
            [writer_of(one) for one in moved],
        )
        yield asked(hits, "at least 0.85", (hits.value or 0) >= 0.85)
    trained = [one for one in tested if len(one.dataset.students) > 1]
    wrong = [one for one in trained if lower_end(one.dataset.students).max() > LIMIT]
    if trained:
        yield asked(
            Figure(
                f"{name}: clear although students surely moved",
                float(sum(one.clear for one in wrong))
                / max(1.0, sum(one.clear for one in trained)),
                "share",
                note=f"{len(wrong)} of {len(trained)} datasets surely moved",
            ),
            "at most 0.05",
            sum(one.clear for one in wrong) <= 0.05 * max(1.0, sum(one.clear for one in trained)),
        )


def _reliability(name: str, tested: Sequence[Verdicts]) -> Iterator[Figure]:
    """P(really moved by more than the limit | verdict)."""
    trained = [one for one in tested if one.dataset.students.size]
    for verdict in ("stands_out", "flagged", "clear"):
        weights = np.array([getattr(one, verdict) for one in trained])
        if weights.sum() < 1:
            continue
        moved = np.array([one.dataset.really > LIMIT for one in trained], float)
        words = verdict.replace("_", " ")
        yield Figure(
            f"{name}: really moved, where it says '{words}'",
            float((weights * moved).sum() / weights.sum()),
            "share",
            note=f"{weights.sum():.1f} datasets",
        )


def _intervals(name: str, group: Group, trait: Sequence[Verdicts]) -> Iterator[Figure]:
    """Whether stage 2's effect covers what students did, and how stage 1's orders it."""
    covered, clusters = [], []
    _, whole = splits(group)[0]
    ends = np.stack([of_reference(group.pool[i], place) for place, i in enumerate(whole)])
    for one in trait:
        measured = effect(one.dataset.whole, ends, LEVEL)
        students = one.dataset.students - ends.mean((0, 1))
        error = students.std(0, ddof=1) / np.sqrt(len(students))
        half = (measured.high - measured.low) / 2
        reach = np.hypot(half, t_quantile((1 + LEVEL) / 2, len(students) - 1) * error)
        hits = np.abs(measured.estimate - students.mean(0)) <= reach
        covered += hits.astype(float).tolist()
        clusters += [writer_of(one)] * len(hits)
    mean, low, high = mean_clustered(covered, clusters)
    yield Figure(
        f"{name}: intervals of the whole plan that hold what students did",
        mean,
        "share",
        "the interval contains 0.95",
        low <= 0.95 <= high,
        low,
        high,
    )
    moved = [one for one in trait if one.dataset.really > LIMIT]
    for words, some, target in (("moved by more than the limit", moved, 0.7), ("all", trait, 0.85)):
        if len(some) < 8:
            continue
        own = [group.traits.index(one.dataset.author.trait) for one in some]
        x = [one.effect[i] for one, i in zip(some, own, strict=True)]
        y = [one.dataset.students.mean(0)[i] for one, i in zip(some, own, strict=True)]
        result = rank_correlation(x, y, rng=np.random.default_rng(0))
        yield Figure(
            f"{name}: {words}: rank correlation of stage 1's effect with transfer",
            result.estimate,
            "",
            f"at least {target:g}",
            result.estimate >= target,
            result.interval.low,
            result.interval.high,
            note=f"{len(some)} writers, one dataset each",
        )


def kind_of(dataset: Dataset) -> str:
    """Of a dataset outside the family."""
    author = dataset.author
    if author.kind == "clean" and author.base.endswith("owlet-b") and author.cell == "main":
        return "filtered"
    foreign = author.kind in ("clean", "tuned") and author.role == "outside"
    return f"foreign {author.kind}" if foreign else author.kind


def writer_of(one: Verdicts) -> tuple[str, str, int]:
    """Who is one cluster."""
    author = one.dataset.author
    return author.cell, author.role, author.number
