"""
How well reviewers told two datasets apart, with exact tests: the document `undertow.review/1`.

Sides are drawn by fair coins, so an answer that has nothing to do with the dataset is right by a
coin, whichever pairs a reviewer leaves open. "Can't tell" is no answer, then: it is left out of
"correct of decided", of its interval and of its test. Counted as half a right answer, which is given
beside it, it changes the accuracy but not the test: it would add nothing to either side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from undertow.data.closed import Stored
from undertow.errors import NothingLeftError
from undertow.filters.review_answers import Answers
from undertow.filters.review_key import ReviewKey
from undertow.filters.review_pooled import Pooled, pooled
from undertow.filters.review_share import LEVEL, POWER, Share, share_of

SCHEMA: Literal["undertow.review/1"] = "undertow.review/1"


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
    pooled: Pooled | None
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
