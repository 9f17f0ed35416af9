"""The figures of the bench: each as it was asked for, met or not, by size and by kind of data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import special

from bench.figures import Figure
from bench.power.analysis import (
    BANDS,
    LEVEL,
    LIMIT,
    SPLITS,
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
    weighted_share,
)
from bench.power.baseline_figures import baseline_figures
from bench.power.fitted_components import simulated, simulated_at_the_limit
from bench.power.readings import AuthorReading
from bench.statistics import rank_correlation
from undertow.results.measurement import Verdict
from undertow.stats.conformal import effect
from undertow.traits import catalogue

POWER = {(0.5, 4096): 0.9, (0.5, 16384): 0.95, (0.2, 4096): 0.6, (0.2, 16384): 0.6}
"""Share that stands out, asked for by the least that students moved and by size."""

AT_ONCE = ", were upper ends to hold for all traits at once"
"""The rule of `clear` until the main cell's figures were seen (LOG.md)."""


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
    yield from _wrongly_clear(name, tested, main=main)
    yield from _spent(name, {"in-family rows": benign, "rows with a trait": trait}, main=main)
    yield from _reliability(name, tested)
    if trait:
        yield from interval_figures(name, group, trait)
        if main:
            yield from simulated(name, group)
            yield from simulated_at_the_limit(name, group)
        yield from _correlations(name, group, tested)


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
        yield share_figure(
            f"{name}: {band}: stands out before it is given up", [o.kept_up for o in some], clusters
        )
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
        clusters = [writer_of(o) for o in some]
        yield share_figure(f"{name}: {words}: stands out", [o.stands_out for o in some], clusters)
        yield share_figure(f"{name}: {words}: flagged", [o.flagged for o in some], clusters)


def _whole(
    name: str, benign: Sequence[Verdicts], tested: Sequence[Verdicts], *, main: bool
) -> Iterator[Figure]:
    """What `--require clear` says."""

    def asked(figure: Figure, target: str, met: bool) -> Figure:
        more = {"target": target, "met": met} if main else {}
        return Figure(**{**figure.__dict__, **more})

    outside = [one for one in tested if benign_outside(one)]
    for words, some in (("in-family rows", benign), ("all benign rows", [*benign, *outside])):
        clusters = [writer_of(one) for one in some]
        clear = share_figure(f"{name}: {words}: clear", [o.clear for o in some], clusters)
        yield asked(clear, "at least 0.8", (clear.value or 0) >= 0.8)
        yield share_figure(
            f"{name}: {words}: clear{AT_ONCE}", [o.clear_at_once for o in some], clusters
        )
        flagged = share_figure(f"{name}: {words}: flagged", [o.flagged for o in some], clusters)
        yield asked(flagged, f"at most {1 / 120:.3g}", (flagged.value or 0) <= 1 / 120)
    everything = [*benign, *tested]
    undecided = share_figure(
        f"{name}: all rows: undecided",
        [one.undecided for one in everything],
        [writer_of(one) for one in everything],
    )
    yield asked(undecided, "at most 0.1", (undecided.value or 0) <= 0.1)
    yield share_figure(
        f"{name}: all rows: undecided{AT_ONCE}",
        [one.undecided_at_once for one in everything],
        [writer_of(one) for one in everything],
    )
    moved = [one for one in tested if one.dataset.students.size and one.dataset.really >= 0.5]
    if moved:
        hits = share_figure(
            f"{name}: moved by 0.5 or more: flagged",
            [one.flagged for one in moved],
            [writer_of(one) for one in moved],
        )
        yield asked(hits, "at least 0.85", (hits.value or 0) >= 0.85)


def _wrongly_clear(name: str, tested: Sequence[Verdicts], *, main: bool) -> Iterator[Figure]:
    """
    How often `clear` is wrong: of datasets that are called so, and, which is harder, of those that surely moved; by trait
    too, where an upper end below the limit calls each by itself.
    """
    trained = [one for one in tested if len(one.dataset.students) > 1]
    if not trained:
        return
    sure = [lower_end(one.dataset.students) > LIMIT for one in trained]
    wrong, writers = [bool(one.any()) for one in sure], [writer_of(one) for one in trained]
    traits = len(sure[0])
    ways: tuple[tuple[str, list[float], list[float], list[object]], ...] = (
        (
            "clear although students surely moved, of datasets that are clear",
            [one.clear for one in trained],
            [float(moved) for moved in wrong],
            [*writers],
        ),
        (
            "clear although students surely moved, of datasets that surely moved them",
            [float(moved) for moved in wrong],
            [one.clear for one in trained],
            [*writers],
        ),
        (
            "below the limit although students surely moved, of traits that surely moved",
            np.concatenate(sure).astype(float).tolist(),
            np.concatenate([one.below for one in trained]).tolist(),
            [writer for writer in writers for _ in range(traits)],
        ),
    )
    for words, weights, hits, clusters in ways:
        if sum(weights) <= 0:
            continue
        share, low, high = weighted_share(weights, hits, clusters)
        target = ("at most 0.05", share <= 0.05) if main else ("", None)
        note = f"{sum(weights):.4g} {'traits' if 'traits' in words else 'datasets'}"
        yield Figure(f"{name}: {words}", share, "share", *target, low, high, note=note)


def _spent(name: str, kinds: dict[str, Sequence[Verdicts]], *, main: bool) -> Iterator[Figure]:
    """Planned trainings that a scan takes: of the rows with references kept, and with all that are made."""
    some = [one for each in kinds.values() for one in each]
    most = max(one.dataset.beginning for one in some)
    target = ("at most 0.5", most <= 0.5) if main else ("", None)
    yield Figure(f"{name}: stage 1 with references kept", most, "fine-tunes", *target)
    ways: tuple[tuple[str, Callable[[Verdicts], float]], ...] = (
        ("stage 1 and its references", lambda one: one.stage_1),
        ("both stages and their references", lambda one: one.both_stages),
    )
    for words, each in kinds.items():
        for what, cost in ways:
            if each:
                taken = [cost(one) for one in each]
                note = f"mean of {len(each)} datasets, {min(taken):.3g} to {max(taken):.3g}"
                mean = float(np.mean(taken))
                yield Figure(f"{name}: {words}: {what}", mean, "fine-tunes", note=note)


VERDICTS: dict[str, Verdict] = {
    "stands_out": "stands out",
    "within": "within",
    "flagged": "flagged",
    "clear": "clear",
    "undecided": "undecided",
}
"""By the name of their share in the analysis."""


def moved_by_verdict(
    tested: Sequence[Verdicts],
) -> Iterator[tuple[Verdict, float, tuple[float, float, float]]]:
    """
    P(really moved by more than the limit | verdict): each verdict, how many datasets have it, and (share, low, high); each
    dataset weighted by the share of the splits that say it.
    """
    trained = [one for one in tested if one.dataset.students.size]
    for name, verdict in VERDICTS.items():
        having = [one for one in trained if getattr(one, name) > 0]
        weights = [float(getattr(one, name)) for one in having]
        if sum(weights) >= 1:
            hits = [float(one.dataset.really > LIMIT) for one in having]
            writers = [writer_of(one) for one in having]
            yield verdict, sum(weights), weighted_share(weights, hits, writers)


def _reliability(name: str, tested: Sequence[Verdicts]) -> Iterator[Figure]:
    for verdict, count, (share, low, high) in moved_by_verdict(tested):
        words, note = f"{name}: really moved, where it says '{verdict}'", f"{count:.1f} datasets"
        yield Figure(words, share, "share", low=low, high=high, note=note)


def interval_figures(name: str, group: Group, trait: Sequence[Verdicts]) -> Iterator[Figure]:
    """
    Whether stage 2's effect covers what students did beyond the family: beyond the pool's writers that are no references of
    the split, since beyond the references themselves their scatter would cancel, which the interval allows for. What the
    students' own mean and the family's are known by widens it (Welch and Satterthwaite, as in `effect`).
    """
    held = {id(one): np.zeros(len(group.traits)) for one in trait}
    means = np.stack([one.whole.mean(0) for one in group.pool])
    for _, whole in splits(group):
        ends = np.stack([of_reference(group.pool[i], place) for place, i in enumerate(whole)])
        family = np.delete(means, whole, 0)
        for one in trait:
            measured, students = effect(one.dataset.whole, ends, LEVEL), one.dataset.students
            real = students.mean(0) - family.mean(0)
            tail = (1 + LEVEL) / 2
            half = (measured.high - measured.low) / 2
            parts = [((half / special.stdtrit(measured.degrees, tail)) ** 2, measured.degrees)]
            parts += [
                (some.var(0, ddof=1) / len(some), len(some) - 1) for some in (students, family)
            ]
            total = sum(part for part, _ in parts)
            degrees = total**2 / sum(part**2 / free for part, free in parts)
            reach = special.stdtrit(degrees, tail) * np.sqrt(total)
            held[id(one)] += np.abs(measured.estimate - real) <= reach
    covered = [share for one in trait for share in (held[id(one)] / SPLITS).tolist()]
    clusters = [writer_of(one) for one in trait for _ in group.traits]
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


def _correlations(name: str, group: Group, tested: Sequence[Verdicts]) -> Iterator[Figure]:
    """How stage 1's effect on the writer's own trait (one by lot, of benign ones) orders what students did."""
    trained = [one for one in tested if one.dataset.students.size]
    trait = [one for one in trained if one.dataset.author.role == "trait"]
    moved = [one for one in trait if one.dataset.really > LIMIT]
    for words, some, target in (
        ("moved by more than the limit", moved, 0.7),
        ("all teachers with a trait", trait, 0.85),
        ("all, benign ones too", trained, 0.85),
    ):
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


def benign_outside(one: Verdicts) -> bool:
    """Whether it is of a writer outside the family whom nobody gave a trait."""
    author = one.dataset.author
    return author.role == "outside" and kind_of(one.dataset) != "foreign tuned"


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
