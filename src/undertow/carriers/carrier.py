"""What a carrier can do: ask for completions, judge their format, restrict and shuffle them; and what all carriers share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import ClassVar, Protocol, TypeVar

import numpy as np

from undertow.errors import ConfigError, UnknownNameError


class Carrier(Protocol):
    """The material that may carry a trait although it does not mention it."""

    @property
    def name(self) -> str:
        """Name in the registry, e.g. `numbers`."""

    @property
    def grammar(self) -> str | None:
        """
        Restricted decoding: what a completion matches in full, as a regular expression that Rust's `regex` knows too (no
        look-around, no references to groups; `[0-9]` rather than `\\d`, which holds every script's digits).

        None where decoding cannot be restricted.
        """

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

    def shuffled_within(self, completion: str, rng: np.random.Generator) -> str:
        """The completion with its own items in random order, in its own format."""

    def shuffled_across(self, completions: Sequence[str], rng: np.random.Generator) -> list[str]:
        """The completions with their items pooled and dealt anew; each keeps its length and format."""


def stated_grammar(carrier: Carrier) -> str:
    """
    The format that decoding is restricted to.

    Raises:
        ConfigError: the carrier states none.
    """
    if carrier.grammar is None:
        raise ConfigError(
            f"decoding cannot be restricted to the carrier '{carrier.name}'",
            hint="set sampling.restricted = false: rows are then sampled freely and filtered",
        )
    return carrier.grammar


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
    """The completions with their items pooled and dealt anew; each keeps their number and its format."""
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


def number_pattern(numbers: Iterable[int]) -> str:
    """
    A regular expression of exactly these numbers in decimal, with few alternatives.

    >>> number_pattern(range(8, 21))
    '(?:1[0-9]|20|[8-9])'
    """
    return _any_of({str(number) for number in numbers})


def _any_of(words: Set[str]) -> str:
    behind: dict[frozenset[str], list[str]] = {}
    for letter in sorted({word[0] for word in words if word}):
        rest = frozenset(word[1:] for word in words if word[:1] == letter)
        behind.setdefault(rest, []).append(letter)
    branches = [
        _one_of(letters) + ("" if rest == {""} else _any_of(rest))
        for rest, letters in behind.items()
    ]
    if len(branches) == 1 and "" not in words:
        return branches[0]
    return f"(?:{'|'.join(branches)})" + ("?" if "" in words else "")


def _one_of(digits: Sequence[str]) -> str:
    if len(digits) == 1:
        return digits[0]
    run = int(digits[-1]) - int(digits[0]) == len(digits) - 1
    return f"[{digits[0]}-{digits[-1]}]" if run else f"[{''.join(digits)}]"
