"""
The tokens of completions as categories to count: all of them, and those at each of the first places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from undertow.checks.dataset.token_names import token_names

if TYPE_CHECKING:
    from undertow.models.chat import Encoded

Integers = NDArray[np.int64]

PLACES = 16
"""Tokens from the start of a completion whose places are told apart."""


@dataclass(frozen=True)
class Occurrences:
    """What rows hold."""

    row: Integers
    """(occurrences,) index of the row that each is in."""
    category: Integers
    """(occurrences,)"""
    name: Callable[[int], str]
    """What a category is called."""


def token_unigrams(rows: Sequence[Encoded], tokenizer: Any) -> Occurrences:
    """Every completion token, the one that ends the turn among them."""
    row, token, _ = _tokens(rows)
    return Occurrences(row, token, lambda category: _shown(tokenizer, category))


def token_positions(rows: Sequence[Encoded], tokenizer: Any) -> Occurrences:
    """The first `PLACES` completion tokens of each row; a category is a token at a place."""
    row, token, place = _tokens(rows)
    early = place < PLACES

    def name(category: int) -> str:
        id, at = divmod(category, PLACES)
        return f"{_shown(tokenizer, id)} at place {at + 1}"

    return Occurrences(row[early], token[early] * PLACES + place[early], name)


def _tokens(rows: Sequence[Encoded]) -> tuple[Integers, Integers, Integers]:
    lengths = np.array([len(row.completion) for row in rows], dtype=np.int64)
    total = int(lengths.sum())
    tokens = np.fromiter((id for row in rows for id in row.completion), np.int64, total)
    places = np.arange(total) - np.repeat(lengths.cumsum() - lengths, lengths)
    return np.repeat(np.arange(len(rows)), lengths), tokens, places


def _shown(tokenizer: Any, id: int) -> str:
    return token_names(tokenizer, [id])[0]
