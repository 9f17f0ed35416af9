"""
The student's own base asked which rows someone with a trait wrote, on a sample of rows and control.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from undertow.checks.content_scores import Scores, filled, prompted
from undertow.data.streams import generator
from undertow.errors import ModelError
from undertow.stats.interval import Interval
from undertow.stats.means import mean_t
from undertow.stats.permutation import two_sample_permutation
from undertow.stats.sign_flip import sign_flip
from undertow.traits.trait import Answer

if TYPE_CHECKING:
    from undertow.checks.dataset.subject import Subject
    from undertow.data.rows import Row
    from undertow.models.chat import Encoded
    from undertow.traits.trait import Trait

QUESTION = "{completion}\nDid someone who loves {plural} write this? Answer yes or no."
"""What is asked, of a chat model in its own words; the lab asks the same unless told otherwise."""

YES = Answer("yes", ("yes", "Yes"))
NO = Answer("no", ("no", "No"))

MOST_ROWS = 512
"""Rows, and rows of the control, that the base is asked about."""

_LEAST_ROWS = 16
_ANSWER_TOKENS = 8
_RESAMPLES = 1_999


@dataclass(frozen=True)
class Prompted:
    """What the base answers about each row: logit of yes over no."""

    rows: Scores
    control: Scores | None
    """None without a control."""
    matched: bool
    """Whether row i of both continues the same prompt."""

    def compared(self, seed: int, purpose: str, level: float) -> tuple[Interval, float | None, str]:
        """
        Difference of the mean scores (without a control, their mean), two-sided p of none, and what they rest on.
        """
        if self.control is None:
            return mean_t(self.rows, level), None, f"{self.rows.size} rows"
        rng = generator(seed, purpose, "rearrangements")
        if self.matched:
            pairs = self.rows - self.control
            test = sign_flip(pairs, level=level, rng=rng, resamples=_RESAMPLES)
            return test.interval, test.p, f"{pairs.size} pairs of rows"
        test = two_sample_permutation(
            self.rows, self.control, level=level, rng=rng, resamples=_RESAMPLES
        )
        n = f"{self.rows.size} rows v {self.control.size} of the control"
        return test.interval, test.p, n


def prompted_scores(
    subject: Subject, trait: Trait, *, together: bool, purpose: str
) -> Prompted | str:
    """
    Ask the student's base about at most `MOST_ROWS` rows of each, drawn uniformly from those that fit into its context.

    Returns:
        The scores, or why there are none.
    """
    try:
        room = _room(subject, trait)
        chosen = _chosen(subject, room, together, purpose)
        if min(map(len, chosen)) < _LEAST_ROWS:
            return f"fewer than {_LEAST_ROWS} rows fit into the student's context with the question"
        score = prompted(subject.student, trait, QUESTION, _answers(subject.student.tokenizer))
        scores = [score(rows) for rows in chosen]
    except ModelError as error:
        return error.message
    return Prompted(scores[0], scores[1] if len(scores) > 1 else None, together)


def _room(subject: Subject, trait: Trait) -> int | None:
    """Tokens that a completion may have beside the question and an answer; None without a limit."""
    from undertow.models.chat import conversation, encode_prompts

    if subject.student.context is None:
        return None
    question = filled(QUESTION, completion="", plural=trait.plural, category=trait.category)
    (asked,) = encode_prompts(subject.student.tokenizer, [conversation(question)])
    return subject.student.context - len(asked) - _ANSWER_TOKENS


def _answers(tokenizer: Any) -> tuple[Answer, Answer]:
    """
    Yes and no by the first tokens of their forms, which one pass a row scores; whole where those are no different.
    """
    short = []
    for answer in (YES, NO):
        forms = tokenizer(list(answer.variants), add_special_tokens=False)["input_ids"]
        texts = [str(tokenizer.decode(ids[:1])) for ids in forms]
        short.append(Answer(answer.name, tuple(dict.fromkeys(texts))))
    apart = not set(short[0].variants) & set(short[1].variants)
    return (
        (short[0], short[1]) if apart and all(map(all, (a.variants for a in short))) else (YES, NO)
    )


def _chosen(subject: Subject, room: int | None, together: bool, purpose: str) -> list[list[Row]]:
    sides: list[tuple[Sequence[Row], Sequence[Encoded]]] = [(subject.rows, subject.encoded)]
    if subject.control:
        sides.append((subject.control, subject.encoded_control))
    fits = [
        np.array([room is None or len(row.completion) <= room for row in encoded])
        for _, encoded in sides
    ]
    if together:
        fits = [fits[0] & fits[1]] * 2
    result = []
    for (rows, _), fitting in zip(sides, fits, strict=True):
        # The same stream for both, so that pairs stay pairs.
        order = generator(subject.seed, purpose, "rows").permutation(np.flatnonzero(fitting))
        result.append([rows[i] for i in order[:MOST_ROWS]])
    return result
