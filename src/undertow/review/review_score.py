"""
How well reviewers told two datasets apart, with exact tests: the document `undertow.review/1`.

Sides are drawn by fair coins, so an answer that has nothing to do with the dataset is right by a
coin, whichever pairs a reviewer leaves open. "Can't tell" is no answer, then: it is left out of
"correct of decided", of its interval and of its test. Counted as half a right answer, which is given
beside it, it changes the accuracy but not the test: it would add nothing to either side.

Several reviewers of the same pairs are not independent of one another: who goes by length, say,
is right and wrong about the same pairs as everyone else who does. Their answers are never pooled as
if they were. Pairs are independent, as their sides are, so the test over pairs answers the question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

# scipy.special alone: scipy.stats takes a second to import.
from scipy import special  # type: ignore[import-untyped, unused-ignore]

from undertow.data.closed import Stored
from undertow.errors import NothingLeftError
from undertow.review.review_pack import ANSWERS, Answers, ReviewKey
from undertow.stats import clopper_pearson, detectable_effect, sign_flip
from undertow.stats.interval import beta_quantile

SCHEMA: Literal["undertow.review/1"] = "undertow.review/1"

LEVEL = 0.95
POWER = 0.8


class Share(Stored):
    """Right answers among independent ones, with their Clopper-Pearson interval and exact test."""

    correct: int
    of: int
    accuracy: float | None
    """None where nothing was decided, as are the limits."""
    low: float | None
    high: float | None
    p: float
    """Exact two-sided binomial p against 1/2; 1 where nothing was decided."""
    detectable: float | None
    """Least accuracy that the test finds with 80 % power; None with under 6 answers."""


def share_of(correct: int, of: int) -> Share:
    """So many right answers of so many."""
    interval = clopper_pearson(correct, of, LEVEL) if of else None
    return Share(
        correct=correct,
        of=of,
        accuracy=interval.estimate if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        p=binomial_p(correct, of),
        detectable=detectable_accuracy(of),
    )


def binomial_p(k: int, n: int) -> float:
    """
    Exact two-sided binomial p of k right answers of n, against 1/2; 1 if n is 0.

    Source: Clopper & Pearson, Biometrika 26, 1934; at 1/2 every two-sided convention is this one.

    >>> binomial_p(10, 10), binomial_p(5, 10)
    (0.001953125, 1.0)
    """
    return min(1.0, 2 * float(special.bdtr(min(k, n - k), n, 0.5))) if n else 1.0


def detectable_accuracy(n: int, level: float = LEVEL, power: float = POWER) -> float | None:
    """
    Least accuracy over 1/2 that the exact test of n answers finds with the power; None if none is.

    At the least number c of right answers that is rejected, P(at least c of n) = I_q(c, n - c + 1)
    (Abramowitz & Stegun 26.5.24), which is solved for the accuracy q.

    >>> detectable_accuracy(5) is None, round(detectable_accuracy(6), 4)
    (True, 0.9635)
    """
    rejected = (c for c in range(n // 2 + 1, n + 1) if binomial_p(c, n) <= 1 - level + 1e-12)
    least = next(rejected, None)
    return None if least is None else beta_quantile(power, least, n - least + 1)


class PooledReviewers(Stored):
    """Several reviewers of the same pairs."""

    correct: int
    of: int
    accuracy: float
    """Over all decided answers; described only, as they are not independent."""
    pairs_p: float
    """Sign-flip p over pairs, of right minus wrong answers: the test that answers the question."""
    pairs_test: str
    pairs_smallest_p: float
    majority: Share
    """Pairs that a majority of the deciding reviewers got right; ties are left out."""
    ties: int
    """Pairs without a majority, among them those that nobody decided."""
    reviewers: int
    """Reviewers who decided any pair."""
    reviewers_accuracy: float
    """Mean of their accuracies."""
    reviewers_low: float
    reviewers_high: float
    """Limits of the sign-flip interval over reviewers: for other reviewers of these same pairs."""
    reviewers_p: float
    reviewers_test: str
    reviewers_smallest_p: float
    reviewers_detectable: float | None
    """Least mean accuracy found with 80 % power if reviewers differ by chance alone; None if none is."""
    kappa: float | None
    """Fleiss' kappa of left, right and unsure; None where everyone always gave the same answer."""
    agreement: float | None
    """Share of pairs of reviewers who agree; None where no pair was answered by all."""
    agreement_pairs: int
    """Pairs that every reviewer answered, which the two are computed from."""


def pooled(
    answers: Sequence[Answers],
    numbers: Sequence[int],
    signs: NDArray[np.int_],
    rng: np.random.Generator,
) -> PooledReviewers:
    """
    The reviewers together.

    Args:
        numbers: the pairs that count.
        signs: 1 for right, -1 for wrong, 0 for no side chosen; shape (reviewers, pairs), not all 0.
        rng: source of the random sign patterns where there are too many, and of the power's data.
    """
    net = signs.sum(axis=0)
    # Exchanging the sides of a pair changes the sign of its net score and never its size.
    by_pair = sign_flip(net[net != 0], rng=rng) if net.any() else None
    decided = np.abs(signs).sum(axis=1)
    accuracies = (signs > 0).sum(axis=1)[decided > 0] / decided[decided > 0]
    by_reviewer = sign_flip(accuracies - 0.5, level=LEVEL, rng=rng)
    low, high = (
        float(np.clip(0.5 + end, 0, 1))
        for end in (by_reviewer.interval.low, by_reviewer.interval.high)
    )
    counts = _counts(answers, numbers)
    kappa, agreement = fleiss_kappa(counts) if counts else (None, None)
    return PooledReviewers(
        correct=int((signs > 0).sum()),
        of=int(decided.sum()),
        accuracy=float((signs > 0).sum() / decided.sum()),
        pairs_p=by_pair.p if by_pair else 1.0,
        pairs_test=f"{by_pair.test}, {by_pair.n}" if by_pair else "no pair leans to a side",
        pairs_smallest_p=by_pair.smallest_p if by_pair else 1.0,
        majority=share_of(int((net > 0).sum()), int((net != 0).sum())),
        ties=int((net == 0).sum()),
        reviewers=accuracies.size,
        reviewers_accuracy=float(accuracies.mean()),
        reviewers_low=low,
        reviewers_high=high,
        reviewers_p=by_reviewer.p,
        reviewers_test=by_reviewer.test,
        reviewers_smallest_p=by_reviewer.smallest_p,
        reviewers_detectable=_detectable(accuracies.size, float(decided[decided > 0].mean()), rng),
        kappa=kappa,
        agreement=agreement,
        agreement_pairs=len(counts),
    )


def fleiss_kappa(counts: Sequence[Sequence[int]]) -> tuple[float | None, float]:
    """
    Kappa, and the share of agreeing pairs of raters; one row of counts by category for each item.

    Kappa is None where only one category was ever used. Source: Fleiss, Psychological Bulletin 76, 1971.

    >>> fleiss_kappa([[2, 0], [0, 2], [1, 1], [1, 1]])
    (0.0, 0.5)
    """
    table = np.asarray(counts, dtype=np.float64)
    raters = table[0].sum()
    agreement = float(((table**2).sum(axis=1) - raters).mean() / (raters * (raters - 1)))
    chance = float(((table.sum(axis=0) / table.sum()) ** 2).sum())
    return (None if chance == 1 else (agreement - chance) / (1 - chance)), agreement


def _counts(answers: Sequence[Answers], numbers: Sequence[int]) -> list[list[int]]:
    """
    How often each answer was given, for the pairs that every reviewer answered.

    Sides are counted, not datasets: they are even by design, while reviewers who are all right would
    have only one category of dataset, for which kappa is not defined.
    """
    given = [[each.given.get(number) for each in answers] for number in numbers]
    return [[row.count(answer) for answer in ANSWERS] for row in given if None not in row]


def _detectable(reviewers: int, decided: float, rng: np.random.Generator) -> float | None:
    spread = 0.5 / np.sqrt(decided)
    shift = detectable_effect(1.0, reviewers, rng=rng, level=LEVEL, power=POWER, simulations=1_000)
    accuracy = float(0.5 + spread * shift)
    return accuracy if accuracy <= 1 else None


class ReviewerScore(Stored):
    """One reviewer."""

    reviewer: str
    decided: Share
    """Of the pairs that were answered left or right."""
    unsure: int
    unanswered: int
    accuracy_half: float | None
    """Accuracy with every "can't tell" counted as half a right answer."""
    repeats: int
    """Repeated pairs that were decided both times."""
    repeats_same: int
    """Those of them in which the same row was chosen both times."""


class Review(Stored):
    """The document `undertow.review/1`."""

    schema_: Literal["undertow.review/1"] = Field(default=SCHEMA, alias="schema")
    pack: str
    question: str
    a: str
    b: str
    pairs: int
    level: float
    power: float
    reviewers: tuple[ReviewerScore, ...]
    pooled: PooledReviewers | None
    """None for a single reviewer."""


def score(key: ReviewKey, answers: Sequence[Answers], rng: np.random.Generator) -> Review:
    """
    The answers of each reviewer, and of all together, against the key.

    Raises:
        NothingLeftError: if nobody decided any pair.
    """
    numbers = [pair.pair for pair in key.judged]
    signs = np.array([[_sign(key, each, number) for number in numbers] for each in answers])
    if not signs.any():
        raise NothingLeftError(f"none of the {len(answers)} reviewers chose a side in any pair")
    return Review(
        pack=key.pack,
        question=key.question,
        a=key.a.name,
        b=key.b.name,
        pairs=len(key.judged),
        level=LEVEL,
        power=POWER,
        reviewers=tuple(_reviewer(key, each) for each in answers),
        pooled=pooled(answers, numbers, signs, rng) if len(answers) > 1 else None,
    )


def review_json(review: Review) -> str:
    """The scores as indented JSON, ending in a newline."""
    return review.model_dump_json(by_alias=True, indent=2) + "\n"


def _sign(key: ReviewKey, answers: Answers, pair: int) -> int:
    """1 for a right answer, -1 for a wrong one, 0 for none."""
    answer = answers.given.get(pair, "unsure")
    return 0 if answer == "unsure" else 1 if answer == key.pairs[pair - 1].a else -1


def _reviewer(key: ReviewKey, answers: Answers) -> ReviewerScore:
    numbers = [pair.pair for pair in key.judged]
    signs = Counter(_sign(key, answers, number) for number in numbers)
    unsure = sum(answers.given.get(number) == "unsure" for number in numbers)
    decided = signs[1] + signs[-1]
    twice = [
        (_sign(key, answers, pair.pair), _sign(key, answers, pair.repeats))
        for pair in key.pairs
        if pair.repeats is not None
    ]
    return ReviewerScore(
        reviewer=answers.reviewer,
        decided=share_of(signs[1], decided),
        unsure=unsure,
        unanswered=len(numbers) - decided - unsure,
        accuracy_half=(signs[1] + unsure / 2) / (decided + unsure) if decided + unsure else None,
        repeats=sum(first != 0 and second != 0 for first, second in twice),
        repeats_same=sum(first == second != 0 for first, second in twice),
    )
