"""What completions hold, to be counted: character classes, numbers, what follows a number; tokens, and tokens at a place."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from undertow.checks.dataset.scan_subject import token_names
from undertow.stats.arguments import Vector

if TYPE_CHECKING:
    from undertow.models.chat import Encoded


Integers = NDArray[np.int64]
CLASSES = (
    "digit",
    "lower case",
    "upper case",
    "space",
    "tab",
    "line feed",
    *string.punctuation,
    "other ASCII",
    "beyond ASCII",
)
"""Classes of characters; each ASCII punctuation mark is one of its own."""

END = len(CLASSES)
"""Stands for the end of the text, behind the classes."""

_CONTINUATION = -1
PLACES = 16
"""Tokens from the start of a completion whose places are told apart."""


@dataclass(frozen=True)
class TextFeatures:
    """Occurrences in a list of texts, each with the index of its text."""

    texts: int
    character_row: Integers
    """(characters,)"""
    character_class: Integers
    """(characters,) index into `CLASSES`."""
    number_row: Integers
    """(numbers,)"""
    first_digit: Integers
    """(numbers,) 0 to 9; a number is a run of ASCII digits."""
    last_digit: Integers
    """(numbers,)"""
    digits: Integers
    """(numbers,) how many each number has."""
    after: Integers
    """(numbers,) classes of the two bytes behind each number: first * (END + 1) + second."""

    @property
    def numbers(self) -> Vector:
        """(texts,) how many numbers each text holds."""
        return self._per_text(self.number_row)

    @property
    def separators(self) -> Vector:
        """(texts,) how many characters that are neither letters nor digits each text holds."""
        return self._per_text(
            self.character_row[self.character_class > CLASSES.index("upper case")]
        )

    def format(self) -> Vector:
        """(texts, features): lengths, numbers, digits a number, shares of classes, first and last class; no digit's value."""
        width = len(CLASSES)
        cells = self.character_row * width + self.character_class
        classes = np.bincount(cells, minlength=self.texts * width).reshape(self.texts, width)
        length = classes.sum(1).astype(np.float64)
        digits = self._per_text(self.number_row, self.digits) / np.maximum(self.numbers, 1)
        sizes = np.column_stack([np.log1p(length), np.log1p(self.numbers), digits])
        ends = [self._at_end(length, last=last) for last in (False, True)]
        return np.column_stack([sizes, classes / np.maximum(length, 1)[:, None], *ends])

    def _at_end(self, length: Vector, *, last: bool) -> Vector:
        flags = np.zeros((self.texts, len(CLASSES)))
        ends = length.cumsum().astype(np.int64)
        some = np.flatnonzero(length)
        place = ends[some] - 1 if last else ends[some] - length[some].astype(np.int64)
        flags[some, self.character_class[place]] = 1
        return flags

    def _per_text(self, rows: Integers, weights: Integers | None = None) -> Vector:
        return np.bincount(rows, weights, minlength=self.texts).astype(np.float64)


def text_features(texts: Sequence[str]) -> TextFeatures:
    """Read the texts."""
    # Half of a surrogate pair is no text, but a row may hold one.
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    row = np.repeat(np.arange(len(texts)), [len(text) for text in encoded])
    kinds = _class_of_byte()[data]
    start, end = _runs(kinds == 0, row)
    whole = kinds != _CONTINUATION
    return TextFeatures(
        texts=len(texts),
        character_row=row[whole],
        character_class=kinds[whole],
        number_row=row[start],
        first_digit=data[start].astype(np.int64) - ord("0"),
        last_digit=data[end].astype(np.int64) - ord("0"),
        digits=end - start + 1,
        after=_behind(kinds, row, end),
    )


def after_name(code: int) -> str:
    """What an entry of `TextFeatures.after` stands for, in words."""
    first, second = divmod(code, END + 1)
    return _name(first) if first == END else f"{_name(first)} then {_name(second)}"


def _name(kind: int) -> str:
    return "end" if kind == END else CLASSES[kind]


def _class_of_byte() -> Integers:
    table = np.full(256, CLASSES.index("beyond ASCII"), dtype=np.int64)
    table[:128] = CLASSES.index("other ASCII")
    table[0x80:0xC0] = _CONTINUATION
    groups = {
        "digit": string.digits,
        "lower case": string.ascii_lowercase,
        "upper case": string.ascii_uppercase,
        "space": " ",
        "tab": "\t",
        "line feed": "\n",
    }
    for name, characters in groups.items():
        table[[ord(character) for character in characters]] = CLASSES.index(name)
    for mark in string.punctuation:
        table[ord(mark)] = CLASSES.index(mark)
    return table


def _runs(inside: NDArray[np.bool_], row: Integers) -> tuple[Integers, Integers]:
    """First and last index of each run of True that stays in one row."""
    joined = inside[1:] & inside[:-1] & (row[1:] == row[:-1])
    edge = np.zeros(min(len(inside), 1), dtype=np.bool_)
    start = np.flatnonzero(inside & ~np.concatenate([edge, joined]))
    end = np.flatnonzero(inside & ~np.concatenate([joined, edge]))
    return start, end


def _behind(kinds: Integers, row: Integers, end: Integers) -> Integers:
    padded = np.append(
        np.where(kinds == _CONTINUATION, CLASSES.index("beyond ASCII"), kinds), [END, END]
    )
    rows = np.append(row, [-1, -1])
    first = np.where(rows[end + 1] == row[end], padded[end + 1], END)
    second = np.where(rows[end + 2] == row[end], padded[end + 2], END)
    return first * (END + 1) + second


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
