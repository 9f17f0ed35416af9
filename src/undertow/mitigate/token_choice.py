"""Which tokens of rows are left out or replaced: those that score highest, or as many by lot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from undertow.errors import ConfigError

if TYPE_CHECKING:
    from undertow.data.rows import Row
    from undertow.models.chat import Encoded
    from undertow.models.loading import LanguageModel

Scores = list[NDArray[np.float32]]
"""For each row one score a completion token, higher is more suspect."""

Places = list[tuple[int, ...]]
"""For each row the places of completion tokens."""


def surprising(model: LanguageModel, rows: Sequence[Encoded]) -> Scores:
    """How unlikely each token is to the base, in nats: needs neither a trait nor a teacher."""
    from undertow.models.scoring import each_token

    return [-values.numpy() for values in each_token(model, rows)]


def lifted(
    model: LanguageModel, rows: Sequence[Row], encoded: Sequence[Encoded], system: str
) -> Scores:
    """
    By how much a system prompt that asks for the trait changes each token's log-likelihood, up or down, in nats;
    `encoded` are the rows as they are.

    Raises:
        ModelError: the chat template has no system role.
    """
    from dataclasses import replace

    from undertow.data.rows import Message
    from undertow.models.chat import encode_rows
    from undertow.models.scoring import each_token

    turns = [tuple(m for m in row.prompt if m.role != "system") for row in rows]
    behind = [
        replace(row, prompt=(Message("system", system), *own))
        for row, own in zip(rows, turns, strict=True)
    ]
    plain = each_token(model, encoded)
    moved = each_token(model, encode_rows(model.tokenizer, behind))
    return [(b - a).abs().numpy() for a, b in zip(plain, moved, strict=True)]


def departing(base: LanguageModel, teacher: LanguageModel, rows: Sequence[Encoded]) -> Scores:
    """
    By how much the teacher's log-likelihood of each token differs from the base's, in nats: where the two part.
    """
    from undertow.models.scoring import each_token

    pairs = zip(each_token(base, rows), each_token(teacher, rows), strict=True)
    return [(b - a).abs().numpy() for a, b in pairs]


def lengths(model: LanguageModel, rows: Sequence[Encoded]) -> list[int]:
    """
    Tokens of each completion up to its end-of-turn token: what the template writes is never chosen.
    """
    ends = model.end_ids
    return [
        next((i for i, t in enumerate(row.completion) if t in ends), len(row.completion))
        for row in rows
    ]


def highest(scores: Scores, long: Sequence[int], share: float) -> Places:
    """
    The places of the share of all tokens that score highest; `long` are the completions' `lengths`.

    Raises:
        ConfigError: a share outside (0, 1).
    """
    return above(scores, long, threshold(scores, long, share))


def threshold(scores: Scores, long: Sequence[int], share: float) -> float:
    """
    The score above which that share of all tokens lies.

    Raises:
        ConfigError: a share outside (0, 1).
    """
    _refuse(share)
    every = np.concatenate([own[:n] for own, n in zip(scores, long, strict=True)])
    return float(np.quantile(every, 1 - share)) if len(every) else np.inf


def above(scores: Scores, long: Sequence[int], least: float) -> Places:
    """The places of tokens that score above a threshold."""
    return [
        tuple(np.flatnonzero(own[:n] > least).tolist()) for own, n in zip(scores, long, strict=True)
    ]


def by_lot(long: Sequence[int], share: float, rng: np.random.Generator) -> Places:
    """
    Each token with the chance `share`: the arm to compare with.

    Raises:
        ConfigError: a share outside (0, 1).
    """
    _refuse(share)
    return [tuple(np.flatnonzero(rng.random(n) < share).tolist()) for n in long]


def _refuse(share: float) -> None:
    if not 0 < share < 1:
        raise ConfigError(f"share is {share}; allowed: between 0 and 1")
