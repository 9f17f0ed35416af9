"""The figures of the whole on one accelerator, from readings as far as they came; what was not reached stays open by name."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import bootstrap, spearmanr

from bench.figures import Figure, share_of
from bench.real import owl
from bench.real.pairs_together import CONTROL, TRAIT
from bench.real.places import ASKED, Place
from bench.real.sitting import SEED, Extent, animals_by_lot
from undertow.audit.diff import verdict_of
from undertow.checks.tuned.diff_behaviour import diff_behaviour
from undertow.checks.tuned.diff_subject import DiffSubject, ModelReading, Reader
from undertow.data.seeds import generator
from undertow.influence.references import TrialReading
from undertow.stats import mean_t
from undertow.stats.conformal import joint_statistics, rank_p
from undertow.traits import catalogue

PART = "gpu"
COMMAND = "bench/real/gpu.sh run, then python -m bench.real.whole --figures"
ALPHA = 0.05

EXACT_FROM = 6
"""Pairs from which the sign-flip test has an interval at 95 %; of fewer it is Student's t."""

FEWEST_PAIRS = 2
"""Of each trait, for a mean over both."""

Reading = Mapping[str, Any]

TRAITS = "gpu: two further traits: trait - control-base"
SCREENED = "gpu: 12 trait and 24 benign datasets through the screen"
DIFF = "gpu: diff with controls"
LEFT = "gpu: anchor and projected steps: transfer left"

RESAMPLES = 2000

WHOLE = Extent()


def store(place: Place) -> None:
    """Write the figures of `whole.jsonl` beside those of the same run that others have written."""
    started = time.perf_counter()
    made = figures(place.read("whole"))
    path = place.add(PART, made, time.perf_counter() - started)
    for figure in made:
        print(f"{figure.name}: {figure.value} [{figure.low}, {figure.high}] {figure.note}")
    print(path)


def figures(readings: Sequence[Reading], extent: Extent = WHOLE) -> list[Figure]:
    """What the readings say of each part."""
    names = animals_by_lot()
    return [
        *_two_traits(readings, names, extent),
        *_diffs(readings, names),
        *_defended(readings, names[0]),
        *_screened(readings, extent),
    ]


def _open(name: str, note: str) -> Figure:
    return replace(ASKED[name], note=note)


def _value(name: str, value: float, note: str, **more: Any) -> Figure:
    """A figure that was asked for, with its value."""
    return replace(ASKED[name], value=value, command=COMMAND, note=note, **more)


def _students(readings: Sequence[Reading], trait: str) -> list[Reading]:
    return [r for r in readings if r["kind"] == "students" and r["entry"]["trait"] == trait]


def _two_traits(
    readings: Sequence[Reading], names: Sequence[str], extent: Extent
) -> Iterator[Figure]:
    pairs = {name: owl.pairs(_students(readings, name), TRAIT, CONTROL) for name in names}
    for name, students in pairs.items():
        if students.treated:
            yield _mean(f"gpu: {name}: trait - control-base", students.margins())
            beside = f"gpu: {name}: trait beside the other answers - control-base"
            yield _mean(beside, students.beside_others())
    differences = [students.margins() for students in pairs.values()]
    counted = ", ".join(
        f"{name} {len(one)} of {extent.replicates} pairs"
        for name, one in zip(names, differences, strict=True)
    )
    if min(map(len, differences)) < FEWEST_PAIRS:
        yield _open(TRAITS, f"finished: {counted}")
        return
    both = _mean(TRAITS, np.concatenate(differences))
    yield _value(TRAITS, both.value or 0.0, f"{counted}; {both.note}", low=both.low, high=both.high)


def _mean(name: str, differences: np.ndarray) -> Figure:
    c = {"command": COMMAND}
    if len(differences) >= EXACT_FROM:
        return owl.tested(name, differences, "logits", c)
    note = (
        f"{len(differences)} pairs, Student's t; one-sided sign-flip p = {owl.one_sided(differences):.4g}; "
        f"each: {owl.in_words(differences)}"
    )
    figure = Figure(name, float(differences.mean()), "logits", note=note, **c)
    if len(differences) < FEWEST_PAIRS:
        return figure
    found = mean_t(differences, owl.LEVEL)
    return owl.with_interval(figure, found.low, found.high)


@dataclass(frozen=True)
class Told:
    """What a diff says of one student's trait."""

    raised: bool
    """Whether it is flagged as moved up beyond the limit."""
    lowered: bool
    first: bool
    """Whether no flagged trait moved farther."""
    flagged: int
    """Traits, up or down."""


def _diffs(readings: Sequence[Reading], names: Sequence[str]) -> Iterator[Figure]:
    base = next((r for r in readings if r["kind"] == "base"), None)
    told: dict[str, list[Told]] = {}
    for name in names:
        read: dict[str, dict[int, Reading]] = {TRAIT: {}, CONTROL: {}}
        for r in _students(readings, name):
            read[r["entry"]["arm"]][r["entry"]["replicate"]] = r
        for replicate in sorted(read[TRAIT].keys() & read[CONTROL].keys()):
            if base is None:
                continue
            own, control = read[TRAIT][replicate], read[CONTROL][replicate]
            others = [one for r, one in read[CONTROL].items() if r != replicate]
            for which, student, controls in (
                ("beside all controls", own, [*read[CONTROL].values()]),
                ("beside its own control", own, [control]),
                ("reverse", control, [*read[TRAIT].values()]),
                ("controls", control, others),
            ):
                if len(controls) > 1 or which == "beside its own control":
                    told.setdefault(which, []).append(_told(base, student, controls, name))
    if "beside all controls" not in told:
        yield _open(DIFF, f"{len(told.get('beside its own control', []))} students with a control")
        return
    main = told["beside all controls"]
    share = _share(DIFF, [one.raised for one in main])
    first = sum(one.first for one in main)
    yield _value(
        DIFF,
        share.value or 0.0,
        f"trait students whose trait is flagged beside all control students: {sum(one.raised for one in main)} of "
        f"{len(main)}; in {first} no trait moved farther; {_mean_flagged(main)} traits flagged a student",
        low=share.low,
        high=share.high,
    )
    for which, words, hits in (
        (
            "beside its own control",
            "trait students whose trait is flagged beside one control",
            "raised",
        ),
        (
            "reverse",
            "control students whose trait is flagged downwards beside the trait's",
            "lowered",
        ),
        ("controls", "control students of which a trait is flagged beside the others", "flagged"),
    ):
        found = told.get(which, [])
        if found:
            yield _share(f"gpu: diff: {words}", [bool(getattr(one, hits)) for one in found])


def _mean_flagged(told: Sequence[Told]) -> str:
    return f"{np.mean([one.flagged for one in told]):.1f}"


def _told(base: Reading, student: Reading, controls: Sequence[Reading], name: str) -> Told:
    """What `diff-behaviour` measures, and what a diff makes of it."""
    traits = tuple(catalogue.load(trait) for trait in base["questions"])
    reader: Any = Reader(traits, None, None, (), (), (), "")  # type: ignore[arg-type]
    subject: Any = DiffSubject(
        name="tuned",
        base=None,  # type: ignore[arg-type]
        reader=reader,
        untouched=_model_reading(base),
        tuned=(_model_reading(student),),
        controls=tuple(map(_model_reading, controls)),
        intended=frozenset(),
        seed=SEED,
    )
    measured = {one.trait: one for one in diff_behaviour(subject)}
    flagged = {
        trait: one.estimate or 0.0
        for trait, one in measured.items()
        if verdict_of(one) == "flagged"
    }
    own = flagged.get(name, 0.0)
    farthest = max(map(abs, flagged.values()), default=0.0)
    return Told(own > 0, own < 0, own != 0 and abs(own) >= farthest, len(flagged))


def _model_reading(reading: Reading) -> ModelReading:
    entry, none = reading.get("entry"), np.empty(0)
    return ModelReading(
        ref="base" if entry is None else f"{entry['arm']} {entry['replicate']}",
        margins=tuple(np.array(values) for values in reading["questions"].values()),
        mass=np.array([*reading["mass"].values()]),
        wide=none,
        activations=np.empty((0, 0), np.float32),
        losses=none,
    )


def _share(name: str, hits: Sequence[bool], note: str = "") -> Figure:
    return share_of(name, hits, command=COMMAND, note=note or f"{sum(hits)} of {len(hits)}")


def _defended(readings: Sequence[Reading], name: str) -> Iterator[Figure]:
    moved: dict[str, dict[int, float]] = {}
    for r in readings:
        if r["kind"] == "defended":
            moved.setdefault(r["arm"], {})[r["replicate"]] = r["moved"][name]
    free, left = moved.get("untreated", {}), {}
    for arm in ("anchored", "projected", "by-lot", CONTROL):
        own = moved.get(arm, {})
        shares = np.array([own[r] / free[r] for r in sorted(own.keys() & free.keys())])
        if len(shares):
            left[arm] = shares
            note = f"{len(shares)} replicates, no interval; each: {', '.join(f'{s:.2f}' for s in shares)}"
            figure = f"gpu: {name}: transfer left, {arm}"
            unit = "share of the transfer"
            yield Figure(figure, float(shares.mean()), unit, command=COMMAND, note=note)
    if not {"anchored", "projected"} <= left.keys():
        there = ", ".join(f"{arm} {len(own)}" for arm, own in moved.items())
        yield _open(LEFT, f"finished, replicates of {name}: {there or 'none'}")
        return
    means = {arm: float(shares.mean()) for arm, shares in left.items()}
    note = ", ".join(f"{arm} {value:.2f}" for arm, value in means.items())
    transfer = ", ".join(f"{value:+.2f}" for value in free.values())
    yield _value(
        LEFT,
        max(means["anchored"], means["projected"]),
        f"the larger of both ({note}) of {transfer} logits from the base on {name}'s rows, 32 steps; {len(free)} replicates",
    )


@dataclass(frozen=True)
class Screened:
    """A dataset that was screened and has students."""

    name: str
    role: str
    trait: str
    p: float
    largest: float
    """How far it lies out among the references: the largest robust z over the traits."""
    first: str
    """The trait of that."""
    students: np.ndarray
    """(traits,) mean over students of what they moved, in logits."""

    @property
    def out(self) -> bool:
        """Whether it stands out."""
        return self.p <= ALPHA


def complete(readings: Sequence[Reading], references: int) -> list[Screened]:
    """The datasets of which all is there, in the order of work; none without all of the references."""
    ends = [_end(r) for r in readings if r["kind"] == "reference"]
    trained = {r["name"]: np.array(r["moved"]) for r in readings if r["kind"] == "trained"}
    if len(ends) < references:
        return []
    base = next(r for r in readings if r["kind"] == "base")
    names = [*base["questions"]]
    made = []
    for r in readings:
        if r["kind"] != "screened" or r["name"] not in trained:
            continue
        statistics = joint_statistics(np.stack([_end(r), *ends[:references]]))
        made.append(
            Screened(
                r["name"],
                r["role"],
                r["trait"],
                rank_p(statistics.largest),
                float(statistics.largest[0]),
                names[int(statistics.z[0].argmax())],
                trained[r["name"]].mean(0),
            )
        )
    return made


def _end(reading: Reading) -> np.ndarray:
    end: np.ndarray = TrialReading.model_validate(reading["reading"]).end.mean(0)
    return end


def really_moved(datasets: Sequence[Screened]) -> np.ndarray:
    """
    (datasets,) how far the students of each moved, in logits: of the mean over students, minus the median over the other
    benign datasets, the largest over the traits. All rows teach the format, which moves every trait.
    """
    moved = np.stack([one.students for one in datasets])
    benign = [i for i, one in enumerate(datasets) if one.role != "trait"]
    return np.array(
        [
            (moved[i] - np.median(moved[[j for j in benign if j != i]], axis=0)).max()
            for i in range(len(datasets))
        ]
    )


def _screened(readings: Sequence[Reading], extent: Extent) -> Iterator[Figure]:
    datasets = complete(readings, extent.references)
    planned = 3 * extent.triples
    there = sum(r["kind"] == "reference" for r in readings)
    finished = (
        f"{len(datasets)} of {planned} datasets finished, {there} of {extent.references} references"
    )
    if len(datasets) < planned:
        yield _open(SCREENED, finished)
    else:
        yield _value(SCREENED, len(datasets) / planned, finished)
    for words, roles in (
        ("trait datasets", ("trait",)),
        ("benign datasets", ("family", "outside")),
        ("benign datasets of the declared family", ("family",)),
    ):
        group = [one for one in datasets if one.role in roles]
        if group:
            each = ", ".join(f"{one.name} p {one.p:.2f}" for one in group)
            yield _share(f"gpu: {words} that stand out", [one.out for one in group], each)
    traits = [one for one in datasets if one.role == "trait"]
    if traits:
        named = [one.first == one.trait for one in traits]
        each = ", ".join(f"{one.trait}: {one.first}" for one in traits)
        yield _share("gpu: trait datasets whose own trait lies out farthest", named, each)
    if len(datasets) >= EXACT_FROM:
        yield _correlation(datasets)


def _correlation(datasets: Sequence[Screened]) -> Figure:
    x, y = np.array([one.largest for one in datasets]), really_moved(datasets)
    found = bootstrap(
        (x, y),
        lambda a, b: spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=generator(SEED, "bootstrap"),
    ).confidence_interval
    each = ", ".join(
        f"{one.name} {a:.1f} {b:+.2f}" for one, a, b in zip(datasets, x, y, strict=True)
    )
    return owl.with_interval(
        Figure(
            "gpu: rank correlation of the screen's reading with what students moved",
            float(spearmanr(x, y).statistic),
            "",
            command=COMMAND,
            note=f"{len(datasets)} datasets, bootstrap over them; each (z, logits): {each}",
        ),
        float(found.low),
        float(found.high),
    )
