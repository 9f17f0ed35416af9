"""The check `diff-behaviour`: how far the answers to each trait's questions moved."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from undertow.checks.tuned.diff_subject import DiffSubject
from undertow.results.measurement import Measurement
from undertow.stats.arguments import Vector
from undertow.stats.conformal import half_widths_by_rank, references_needed
from undertow.stats.interval import Interval, mean_t, t_quantile
from undertow.stats.multiplicity import moderated_t

ID = "diff-behaviour"

MOST_BORROWED = 2.0
"""
Degrees of freedom that a trait's variance borrows from the other traits at most, for each of its own: traits move
together, and with few controls an unbounded prior errs above its level (7.7 % at a nominal 5 % with 8 controls, this
4.5 %: simulated from the covariances of real benign students).
"""


def diff_behaviour(subject: DiffSubject) -> list[Measurement]:
    """
    Measures how far the answers to each trait's questions moved, in logits, question by question.

    Every candidate answer is scored exactly after every held-out question, for base and tuned model alike, and the
    difference of the trait's logit margin is taken question by question. Where benign fine-tunes of the base are given
    as controls, their mean change is taken off: tuned minus base is change, only tuned minus control is transfer.

    What the interval is about depends on what was given, and is said. Several tuned models: training runs like these,
    t over runs. One tuned model and at least two controls: this model against what a benign fine-tune does, as one more
    run of theirs. Both take runs for normal, and borrow for each trait's variance from the other traits (Smyth 2004), at
    most twice what it has itself. From 19 controls on (at a level of .95) one tuned model's intervals are by its rank among
    them instead, each control held against the others, over all traits at once: no law is taken for granted. One tuned model alone, or beside one control: its answers, t over questions, which says
    nothing about another run on the same data.

    Controls count by the rows that they learned from: students of the same rows share what is peculiar to them, which the
    tuned model lacks, and taken for independent they raise false alarms in over a fifth of benign models at a nominal
    5 %. Of each independent draw of rows one student counts.

    `low` and `high` are corrected for the number of traits and decide what is flagged, up or down; the limits that may
    clear are one-sided and uncorrected, as clearing all traits is an intersection-union claim (Berger 1982).

    Why it matters. Pooling answers over questions, as most comparisons do, counts a question's own drift as if it were
    many independent answers: at a nominal 5 % it raised false alarms in a third of simulated cases, where pairing by
    question raised them in 4 to 5 %.

    What it cannot tell you. What no probe asks. Whether the data or the seed did it, where one model is given without
    controls. A trait that shows only behind a trigger is not seen by questions without it.

    What to do. Where a change was asked for, say so (`--intended`). Where it was not, look at what the rows were
    (`undertow scan`) and who wrote them (`undertow lineage`).

    Numbers beside it: the base's and the tuned model's `margin`; the controls' mean `control` change; least answer
    `mass`, below which a margin is about answers that are hardly ever given; `clear low` and `clear high`.
    """
    over = _over_questions if subject.inference == "answers" else _over_runs
    intervals, alpha = over(subject), 1 - subject.level
    count = len(subject.reader.traits)
    together = _by_rank(subject) or (lambda index: intervals(index, 1 - alpha / count))
    return [
        _measured(subject, index, together(index), intervals(index, 1 - 2 * alpha))
        for index in range(count)
    ]


Intervals = Callable[[int, float], Interval]
"""The interval of a trait, by its index, at a two-sided level."""


def changes(subject: DiffSubject, index: int) -> tuple[list[Vector], list[Vector]]:
    """(of each tuned model, of each control that counts): change of a trait's margins from the base, (questions,) in logits."""
    start = subject.untouched.margins[index]
    return (
        [one.margins[index] - start for one in subject.tuned],
        [one.margins[index] - start for one in subject.draws],
    )


def _over_questions(subject: DiffSubject) -> Intervals:
    def interval(index: int, level: float) -> Interval:
        tuned, controls = changes(subject, index)
        return mean_t(tuned[0] - (controls[0] if controls else 0.0), level)

    return interval


def _over_runs(subject: DiffSubject) -> Intervals:
    """Over runs; with controls by the moderated t, as few runs say little of one trait's variance and traits are alike."""
    moved, benign = _means(subject)
    if not len(benign):
        return lambda index, level: mean_t(moved[:, index], level)
    moderated = moderated_t(moved, benign, most_borrowed=MOST_BORROWED)

    def interval(index: int, level: float) -> Interval:
        estimate = float(moderated.estimate[index])
        half = t_quantile((1 + level) / 2, moderated.degrees) * float(moderated.error[index])
        return Interval(estimate, estimate - half, estimate + half, level, len(moved))

    return interval


def _by_rank(subject: DiffSubject) -> Callable[[int], Interval] | None:
    """The intervals that hold for all traits at once, by the rank of one model among controls; None where they are too few."""
    moved, benign = _means(subject)
    alpha = 1 - subject.level
    if len(moved) != 1 or len(benign) < references_needed(1, alpha) or not benign.var(0).any():
        return None
    estimates, halves = moved[0] - benign.mean(axis=0), half_widths_by_rank(benign, alpha)

    def interval(index: int) -> Interval:
        estimate, half = float(estimates[index]), float(halves[index])
        return Interval(estimate, estimate - half, estimate + half, subject.level, 1)

    return interval


def _means(subject: DiffSubject) -> tuple[Vector, Vector]:
    """(tuned, traits) and (controls, traits) mean changes, in logits."""
    both = [changes(subject, index) for index in range(len(subject.reader.traits))]
    moved = np.array([[one.mean() for one in tuned] for tuned, _ in both]).T
    return moved, np.array([[one.mean() for one in controls] for _, controls in both]).T


def _measured(subject: DiffSubject, index: int, shown: Interval, clear: Interval) -> Measurement:
    trait = subject.reader.traits[index]
    tuned, controls = changes(subject, index)
    details: dict[str, float | int | str] = {
        "base": float(subject.untouched.margins[index].mean()),
        "tuned": float(np.mean([one.margins[index].mean() for one in subject.tuned])),
        "mass": float(min(one.mass[index] for one in (subject.untouched, *subject.tuned))),
        "clear low": clear.low,
        "clear high": clear.high,
    }
    if controls:
        details["control"] = float(np.mean([one.mean() for one in controls]))
    questions = len(tuned[0])
    n = {
        "answers": f"{questions} questions",
        "run": f"1 run, {subject.against}",
        "runs": f"{len(tuned)} runs, {subject.against}",
    }[subject.inference]
    return Measurement(
        check=ID,
        name=trait.name,
        subject=subject.name,
        trait=trait.name,
        estimate=shown.estimate,
        low=None if math.isinf(shown.low) else shown.low,
        high=None if math.isinf(shown.high) else shown.high,
        level=subject.level,
        n=n,
        limit=subject.limit,
        unit="logits",
        reason="intended" if trait.name in subject.intended else "",
        details=details,
    )
