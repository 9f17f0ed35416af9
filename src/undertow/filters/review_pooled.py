"""
Several reviewers of the same pairs, taken together without counting anything twice.

Several reviewers of the same pairs are not independent of one another: who goes by length, say,
is right and wrong about the same pairs as everyone else who does. Their answers are never pooled as
if they were. Pairs are independent, as their sides are, so the test over pairs answers the question.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from undertow.data.closed import Stored
from undertow.filters.review_answers import ANSWERS, Answers
from undertow.filters.review_share import LEVEL, POWER, Share, share_of
from undertow.stats import detectable_effect, sign_flip


class Pooled(Stored):
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
) -> Pooled:
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
    return Pooled(
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
    found = float(0.5 + spread * shift)
    return found if found <= 1 else None
