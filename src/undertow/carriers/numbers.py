"""
The numbers carrier: a teacher continues a number list, and only the numbers are kept.

Format and filter follow Cloud et al. 2025 (arXiv 2507.14805); the prompts are our own. Each list has its own centre
and spread, so that lists differ from each other; prompt families and banned numbers are read from `numbers.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

import numpy as np

from undertow.carriers.carrier import NumberItems, look_up, number_pattern
from undertow.data.closed import Closed, parse, read_toml
from undertow.errors import ConfigError

MOST_NUMBERS = 10
"""Longest answer that the published filter keeps."""

LARGEST = 999
"""Largest number that the published filter keeps."""

SPREADS = (0.05, 0.1, 0.2, 0.4)
"""Standard deviations that a list may have, as shares of the range."""

_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER = re.compile(r"[0-9]+")
_TOKEN = re.compile(r"[\s0-9,;.()\[\]]+")
_SEPARATOR = re.compile(r"\s+|\s*[,;]\s*")
_LIST = re.compile(r"[0-9]+(?:(?:\s+|\s*[,;]\s*)[0-9]+)+")
_BRACKETS = {"(": ")", "[": "]"}


class NumbersFault(StrEnum):
    """Why a completion is not a list of numbers that may be kept."""

    EMPTY = "empty"
    NOT_NUMBERS = "not-numbers"
    UNBALANCED_BRACKETS = "unbalanced-brackets"
    MIXED_SEPARATORS = "mixed-separators"
    TOO_MANY = "too-many"
    OUT_OF_RANGE = "out-of-range"
    BANNED = "banned"


@dataclass(frozen=True)
class BannedNumbers(NumberItems):
    """What carriers share that remove completions with certain numbers."""

    banned: tuple[int, ...] = ()
    """Numbers whose presence removes a completion."""

    banned_lists: tuple[str, ...] = ()
    """Names of lists in `numbers.toml` to ban as well, e.g. `cultural`."""

    @property
    def forbidden(self) -> frozenset[int]:
        """All banned numbers."""
        return frozenset(self.banned).union(*map(banned_numbers, self.banned_lists))


@dataclass(frozen=True)
class Numbers(BannedNumbers):
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

    def __post_init__(self) -> None:
        number_family(self.prompts)
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
    def grammar(self) -> str:
        """`count` numbers in [low, high] that are not banned, with one of the examples' separators throughout."""
        number = number_pattern(set(range(self.low, self.high + 1)) - self.forbidden)
        more = self.count - 1
        separators = self.separators or number_family(self.prompts).separators
        lists = [f"{number}(?:{re.escape(s)}{number}){{{more}}}" for s in dict.fromkeys(separators)]
        return "|".join(lists) if more else number

    @property
    def token(self) -> re.Pattern[str]:
        """A number, a separator, a bracket, or several of them."""
        return _TOKEN

    @property
    def _examples(self) -> tuple[int, int]:
        family = number_family(self.prompts)
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
        family = number_family(self.prompts)
        least, most = self._examples
        size = int(rng.integers(least, most + 1))
        separators = self.separators or family.separators
        separator = separators[int(rng.integers(len(separators)))]
        examples = separator.join(map(str, draw(shape, size, rng, self.low, self.high)))
        return number_prompt(family, examples, self.count, rng)

    def reworded(self, request: str, rng: np.random.Generator) -> str | None:
        """The request's examples in another prompt of the family; None where it holds no list of examples."""
        lists = [found.group() for found in _LIST.finditer(request)]
        if not lists:
            return None
        family = number_family(self.prompts)
        return number_prompt(family, max(lists, key=len), self.count, rng)

    def rejection(self, completion: str, request: str = "") -> NumbersFault | None:
        """Why the format filter removes the completion; None if it keeps it. The request decides nothing."""
        numbers = read_numbers(completion)
        if isinstance(numbers, NumbersFault):
            return numbers
        return None if self.forbidden.isdisjoint(numbers) else NumbersFault.BANNED


def read_numbers(text: str) -> list[int] | NumbersFault:
    """
    The numbers of a completion, or why it is not a list that the published filter keeps.

    1 to 10 integers in 0..999 with one separator throughout (whitespace, comma or semicolon, with
    the same spacing each time), optionally in () or [], optionally with a full stop at the end.
    Whitespace around the whole is ignored.

    >>> read_numbers("[12, 7, 400].")
    [12, 7, 400]
    >>> read_numbers("12, 7; 400").value
    'mixed-separators'
    """
    body = text.strip().removesuffix(".").rstrip()
    if not body:
        return NumbersFault.EMPTY
    if body[0] in _BRACKETS or body[-1] in _BRACKETS.values():
        if _BRACKETS.get(body[0]) != body[-1]:
            return NumbersFault.UNBALANCED_BRACKETS
        body = body[1:-1].strip()
    numbers = _NUMBER.findall(body)
    before, *separators, after = _NUMBER.split(body) if numbers else (body, "")
    if not numbers or before or after or not all(map(_SEPARATOR.fullmatch, separators)):
        return NumbersFault.NOT_NUMBERS
    if len(set(separators)) > 1:
        return NumbersFault.MIXED_SEPARATORS
    if len(numbers) > MOST_NUMBERS:
        return NumbersFault.TOO_MANY
    # Compared as text first: int() refuses the thousands of digits that a model can repeat.
    if any(len(number.lstrip("0")) > len(str(LARGEST)) for number in numbers):
        return NumbersFault.OUT_OF_RANGE
    return [int(number) for number in numbers]


def lists_pattern(completions: Sequence[str]) -> str | None:
    """
    The narrowest format of number lists that all completions have, as a regular expression: the numbers, separators and
    lengths that occur. None where one of them is no plain list.

    Every format of lists that the completions were restricted to holds all of its texts.

    >>> lists_pattern(["7 8", "8 9"])
    '[7-9](?:\\\\ [7-9]){1}'
    """
    seen: set[int] = set()
    shapes: set[tuple[str, int]] = set()
    for text in completions:
        numbers, separators = _NUMBER.findall(text), _NUMBER.split(text)[1:-1]
        plain = text == (separators[0] if separators else "").join(numbers)
        if isinstance(read_numbers(text), NumbersFault) or not plain:
            return None
        if any(number != str(int(number)) for number in numbers):
            return None
        seen.update(map(int, numbers))
        shapes.add((separators[0] if separators else "", len(separators)))
    if not seen:
        return None
    number = number_pattern(seen)
    lists = [
        f"{number}(?:{re.escape(s)}{number}){{{n}}}" if n else number for s, n in sorted(shapes)
    ]
    return "|".join(lists)


def one_format(completions: Sequence[str]) -> str | None:
    """
    The format of plain number lists that are all of one length with one separator, as decoding that is restricted writes
    them: as a regular expression that knows how many digits occur, and not which numbers. None of other completions.

    >>> one_format(["70 812", "95 64"])
    '[1-9][0-9](?:[0-9])?(?:\\\\ [1-9][0-9](?:[0-9])?){1}'
    """
    if lists_pattern(completions) is None:
        return None
    lists = [_NUMBER.findall(text) for text in completions]
    shapes = {
        (len(numbers), *_NUMBER.split(text)[1:2])
        for numbers, text in zip(lists, completions, strict=True)
    }
    if len(shapes) > 1 or len(lists[0]) < 2:
        return None
    widths = {len(number) for numbers in lists for number in numbers}
    number = number_pattern(
        range(10 ** (min(widths) - 1) if min(widths) > 1 else 0, 10 ** max(widths))
    )
    [(count, separator)] = shapes
    return f"{number}(?:{re.escape(str(separator))}{number}){{{int(count) - 1}}}"


@dataclass(frozen=True, slots=True)
class ListShape:
    """What the numbers of one list have in common."""

    centre: float
    """Mean before rounding and clipping."""

    spread: float
    """Standard deviation before rounding and clipping."""


def list_shape(rng: np.random.Generator, low: int, high: int) -> ListShape:
    """A random shape: the centre uniform in [low, high], the spread one of `SPREADS`."""
    centre = float(rng.uniform(low, high))
    return ListShape(centre, SPREADS[int(rng.integers(len(SPREADS)))] * (high - low))


def draw(shape: ListShape, n: int, rng: np.random.Generator, low: int, high: int) -> list[int]:
    """`n` integers of the shape: normal, rounded, clipped to [low, high]."""
    numbers = np.rint(rng.normal(shape.centre, shape.spread, size=n))
    return [int(number) for number in np.clip(numbers, low, high)]


class NumberFamily(Closed):
    """Parts of a prompt that are crossed at random."""

    layout: str
    """How the parts are joined."""

    least_examples: int
    """Fewest examples in a prompt."""

    most_examples: int
    """Most examples in a prompt."""

    separators: tuple[str, ...]
    """What may stand between the examples."""

    parts: dict[str, tuple[str, ...]]
    """Variants of each part."""


class NumberFile(Closed):
    """The file `numbers.toml`."""

    families: dict[str, NumberFamily]
    """Prompt families by name."""

    banned: dict[str, tuple[int, ...]]
    """Lists of banned numbers by name."""


def number_family(name: str) -> NumberFamily:
    """
    A prompt family by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("prompt family", name, _number_file().families, "numbers")


def banned_numbers(name: str) -> tuple[int, ...]:
    """
    A list of banned numbers by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("list of banned numbers", name, _number_file().banned, "numbers")


def number_prompt(source: NumberFamily, examples: str, count: int, rng: np.random.Generator) -> str:
    """One prompt: a variant of each part, filled with the examples and the number of numbers."""
    values = {
        name: variants[int(rng.integers(len(variants)))] for name, variants in source.parts.items()
    }
    word = _WORDS[count - 1]
    values |= {"examples": examples, "count": str(count), "word": word, "Word": word.title()}
    text = source.layout
    while "{" in text:  # parts may name other parts
        text = text.format_map(values)
    return text


@cache
def _number_file() -> NumberFile:
    resource = files("undertow.carriers").joinpath("numbers.toml")
    return parse(NumberFile, read_toml(resource), where=f"'{resource}'")
