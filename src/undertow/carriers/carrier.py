"""
What a carrier can do: ask for completions, judge their format, restrict and shuffle them; and what all carriers share.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, TypeVar

import numpy as np

from undertow.errors import UnknownNameError


class Carrier(Protocol):
    """The material that may carry a trait although it does not mention it."""

    @property
    def name(self) -> str:
        """Name in the registry, e.g. `numbers`."""

    @property
    def length(self) -> int:
        """Steps of a completion under restricted decoding; 0 where decoding cannot be restricted."""

    @property
    def token(self) -> re.Pattern[str]:
        """What a token's decoded text matches in full if it is one of the carrier's own."""

    @property
    def replaceable(self) -> bool:
        """Whether a token of a completion may become another of the carrier's own without the whole losing its sense."""

    def requests(self, n: int, rng: np.random.Generator) -> list[str]:
        """`n` user prompts, each drawn afresh from `rng`."""

    def reworded(self, request: str, rng: np.random.Generator) -> str | None:
        """The same request in other words; None where the carrier knows no others for it."""

    def rejection(self, completion: str, request: str = "") -> str | None:
        """
        Why the format filter removes the completion; None if it keeps it.

        Without the request only that is judged which does not depend on it.
        """

    def allowed(self, step: int) -> re.Pattern[str]:
        """
        Restricted decoding: a token may stand at `step` iff its decoded text matches in full.

        Never asked of a carrier whose `length` is 0.
        """

    def shuffled_within(self, completion: str, rng: np.random.Generator) -> str:
        """The completion with its own items in random order, in its own format."""

    def shuffled_across(self, completions: Sequence[str], rng: np.random.Generator) -> list[str]:
        """
        The completions with their items pooled and dealt anew; each keeps its length and format.
        """


class NumberItems:
    """What carriers share whose items are numbers; all that stands between them stays in place."""

    ITEM: ClassVar[re.Pattern[str]] = re.compile(r"[0-9]+")

    def shuffled_within(self, completion: str, rng: np.random.Generator) -> str:
        """The completion with its numbers in random order, right or not."""
        return dealt_anew([completion], self.ITEM, rng)[0]

    def shuffled_across(self, completions: Sequence[str], rng: np.random.Generator) -> list[str]:
        """The completions with their numbers pooled and dealt anew; each keeps its length and format."""
        return dealt_anew(completions, self.ITEM, rng)


def dealt_anew(
    completions: Sequence[str], item: re.Pattern[str], rng: np.random.Generator
) -> list[str]:
    """
    The completions with their items pooled and dealt anew; each keeps their number and its format.
    """
    pool = [found for text in completions for found in item.findall(text)]
    dealt = (pool[index] for index in rng.permutation(len(pool)))
    return [item.sub(lambda _: next(dealt), text) for text in completions]


T = TypeVar("T")


def look_up(kind: str, name: str, known: Mapping[str, T], carrier: str) -> T:
    """
    What has the name.

    Raises:
        UnknownNameError: if nothing has; it lists the names that there are.
    """
    if name not in known:
        raise UnknownNameError(kind, name, known, where=f"carrier '{carrier}'")
    return known[name]
