"""
The numbers carrier: a teacher continues a number list, and only the numbers are kept.

Format and filter follow Cloud et al. 2025 (arXiv 2507.14805); the prompts are our own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import numpy as np

from undertow.carriers import dealing, number_prompts
from undertow.carriers.number_list import ListShape, draw, list_shape
from undertow.errors import ConfigError

MOST_NUMBERS = 10
"""Longest answer that the published filter keeps."""

LARGEST = 999
"""Largest number that the published filter keeps."""

_NUMBER = re.compile(r"[0-9]+")
_TOKEN = re.compile(r"[\s0-9,;.()\[\]]+")
_SEPARATOR = re.compile(r"\s+|\s*[,;]\s*")
_LIST = re.compile(r"[0-9]+(?:(?:\s+|\s*[,;]\s*)[0-9]+)+")
_BRACKETS = {"(": ")", "[": "]"}


class Reason(StrEnum):
    """Why a completion is not a list of numbers that may be kept."""

    EMPTY = "empty"
    NOT_NUMBERS = "not-numbers"
    UNBALANCED_BRACKETS = "unbalanced-brackets"
    MIXED_SEPARATORS = "mixed-separators"
    TOO_MANY = "too-many"
    OUT_OF_RANGE = "out-of-range"
    BANNED = "banned"


@dataclass(frozen=True)
class Numbers:
    """Number lists, asked for by prompts of one family."""

    prompts: str = "published"
    """Family of prompts in `numbers.toml`."""

    low: int = 100
    """Least example, and least number under restricted decoding."""

    high: int = 999
    """Largest example, and largest number under restricted decoding."""

    least_examples: int | None = None
    """Fewest examples in a prompt; None leaves it to the family."""

    most_examples: int | None = None
    """Most examples in a prompt; None leaves it to the family."""

    count: int = MOST_NUMBERS
    """Numbers asked for."""

    separators: tuple[str, ...] = ()
    """Separators of the examples, one drawn for each prompt; empty leaves it to the family."""

    banned: tuple[int, ...] = ()
    """Numbers whose presence removes a completion."""

    banned_lists: tuple[str, ...] = ()
    """Names of lists in `numbers.toml` to ban as well, e.g. `cultural`."""

    def __post_init__(self) -> None:
        number_prompts.family(self.prompts)
        if not 0 <= self.low < self.high <= LARGEST:
            raise ConfigError(
                f"numbers: low = {self.low}, high = {self.high}; "
                f"allowed: 0 <= low < high <= {LARGEST}"
            )
        if not 1 <= self.count <= MOST_NUMBERS:
            raise ConfigError(
                f"numbers: count = {self.count}; allowed: 1 to {MOST_NUMBERS}, "
                "as the format filter keeps no more"
            )
        if not 1 <= self._examples[0] <= self._examples[1]:
            raise ConfigError(
                f"numbers: least_examples = {self._examples[0]}, "
                f"most_examples = {self._examples[1]}; allowed: 1 <= least <= most"
            )
        if self.forbidden.issuperset(range(self.low, self.high + 1)):
            raise ConfigError(f"numbers: every number from {self.low} to {self.high} is banned")

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "numbers"

    @property
    def length(self) -> int:
        """Numbers in an answer under restricted decoding."""
        return self.count

    @property
    def token(self) -> re.Pattern[str]:
        """A number, a separator, a bracket, or several of them."""
        return _TOKEN

    @property
    def forbidden(self) -> frozenset[int]:
        """All banned numbers."""
        return frozenset(self.banned).union(*map(number_prompts.banned, self.banned_lists))

    @property
    def _examples(self) -> tuple[int, int]:
        family = number_prompts.family(self.prompts)
        least = family.least_examples if self.least_examples is None else self.least_examples
        most = family.most_examples if self.most_examples is None else self.most_examples
        return least, most

    @property
    def replaceable(self) -> bool:
        """A number may be another number."""
        return True

    def requests(self, n: int, rng: np.random.Generator) -> list[str]:
        """`n` user prompts, each with its own shape of list."""
        return [self.request(list_shape(rng, self.low, self.high), rng) for _ in range(n)]

    def request(self, shape: ListShape, rng: np.random.Generator) -> str:
        """One user prompt whose examples are drawn from the shape."""
        family = number_prompts.family(self.prompts)
        least, most = self._examples
        size = int(rng.integers(least, most + 1))
        separators = self.separators or family.separators
        separator = separators[int(rng.integers(len(separators)))]
        examples = separator.join(map(str, draw(shape, size, rng, self.low, self.high)))
        return number_prompts.prompt(family, examples, self.count, rng)

    def reworded(self, request: str, rng: np.random.Generator) -> str | None:
        """
        The request's examples in another prompt of the family; None where it holds no list of examples.
        """
        lists = [found.group() for found in _LIST.finditer(request)]
        if not lists:
            return None
        family = number_prompts.family(self.prompts)
        return number_prompts.prompt(family, max(lists, key=len), self.count, rng)

    def rejection(self, completion: str, request: str = "") -> Reason | None:
        """
        Why the format filter removes the completion; None if it keeps it. The request decides nothing.
        """
        numbers = parse(completion)
        if isinstance(numbers, Reason):
            return numbers
        return None if self.forbidden.isdisjoint(numbers) else Reason.BANNED

    def allowed(self, step: int) -> re.Pattern[str]:
        """
        A single number in [low, high] that is not banned, behind white space from the second on;
        nothing after the last number.

        This suits tokenizers with one token for each number, as the embedded world's; others
        sample freely and rely on the filter.
        """
        if step >= self.count:
            return re.compile(r"(?!)")
        return _pattern(self.low, self.high, self.forbidden, r"\s" if step else r"\s?")

    def shuffled_within(self, completion: str, rng: np.random.Generator) -> str:
        """The completion with its numbers in random order; separators stay in place."""
        return dealing.within(completion, _NUMBER, rng)

    def shuffled_across(self, completions: Sequence[str], rng: np.random.Generator) -> list[str]:
        """
        The completions with their numbers pooled and dealt anew; each keeps its length and format.
        """
        return dealing.across(completions, _NUMBER, rng)


def parse(text: str) -> list[int] | Reason:
    """
    The numbers of a completion, or why it is not a list that the published filter keeps.

    1 to 10 integers in 0..999 with one separator throughout (whitespace, comma or semicolon, with
    the same spacing each time), optionally in () or [], optionally with a full stop at the end.
    Whitespace around the whole is ignored.

    >>> parse("[12, 7, 400].")
    [12, 7, 400]
    >>> parse("12, 7; 400").value
    'mixed-separators'
    """
    body = text.strip().removesuffix(".").rstrip()
    if not body:
        return Reason.EMPTY
    if body[0] in _BRACKETS or body[-1] in _BRACKETS.values():
        if _BRACKETS.get(body[0]) != body[-1]:
            return Reason.UNBALANCED_BRACKETS
        body = body[1:-1].strip()
    found = _NUMBER.findall(body)
    before, *separators, after = _NUMBER.split(body) if found else (body, "")
    if not found or before or after or not all(map(_SEPARATOR.fullmatch, separators)):
        return Reason.NOT_NUMBERS
    if len(set(separators)) > 1:
        return Reason.MIXED_SEPARATORS
    if len(found) > MOST_NUMBERS:
        return Reason.TOO_MANY
    # Compared as text first: int() refuses the thousands of digits that a model can repeat.
    if any(len(number.lstrip("0")) > len(str(LARGEST)) for number in found):
        return Reason.OUT_OF_RANGE
    return [int(number) for number in found]


@cache
def _pattern(low: int, high: int, forbidden: frozenset[int], before: str) -> re.Pattern[str]:
    numbers = (str(n) for n in range(low, high + 1) if n not in forbidden)
    return re.compile(rf"{before}(?:{'|'.join(numbers)})")
