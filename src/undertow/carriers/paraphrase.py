"""
The paraphrase carrier: a teacher says an ordinary text in other words, kept only if it says the same.

It stands for the portable channel: what ordinary text carries crosses between families, which number lists do not. Texts
are read from `paraphrase.toml` or a user's own file.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

import numpy as np
from pydantic import Field

from undertow.carriers.carrier import dealt_anew, look_up
from undertow.data.closed import Closed, parse, read_toml
from undertow.data.strict_json import objects_of_lines
from undertow.errors import DataError

LONGEST, SHORTEST = 2.0, 0.5
"""Characters of a paraphrase, as multiples of the text's."""

_SENTENCE = re.compile(r"[^\s.!?][^.!?]*[.!?]")
_PROSE = re.compile(r"[\s\w',;:.!?()-]+")
_FACT = re.compile(r"\d+(?:[:.,]\d+)*|(?<![.!?] )(?<!^)\b[A-Z]\w+")
"""A number, or a word with a capital that begins no sentence."""


class ParaphraseFault(StrEnum):
    """Why a completion is no paraphrase that may be kept."""

    EMPTY = "empty"
    NOT_ASKED = "not-asked-for-in-other-words"
    COPIED = "copied"
    SEVERAL_PARAGRAPHS = "several-paragraphs"
    TOO_SHORT = "too-short"
    TOO_LONG = "too-long"
    NOT_FAITHFUL = "not-faithful"
    BANNED = "banned"


class ParaphraseTopic(Closed):
    """What a text is about: clauses, each in several variants."""

    clauses: tuple[tuple[str, ...], ...] = Field(min_length=1)


class ParaphraseFamily(Closed):
    """How is asked, and for which texts."""

    layout: str
    ask: tuple[str, ...]
    closed: bool
    topics: tuple[ParaphraseTopic, ...]
    slots: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class ParaphraseFile(Closed):
    """The file `paraphrase.toml`."""

    families: dict[str, ParaphraseFamily]


@dataclass(frozen=True)
class Paraphrase:
    """Ordinary texts in other words, asked for by prompts of one family."""

    prompts: str = "published"
    """Family of prompts and texts in `paraphrase.toml`."""

    texts: str | None = None
    """JSON Lines of your own, `text` in each, in place of the family's texts."""

    banned: tuple[str, ...] = ()
    """Words whose presence removes a completion, whatever their case."""

    def __post_init__(self) -> None:
        paraphrase_family(self.prompts)
        if self.texts is not None:
            own_texts(self.texts)

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "paraphrase"

    @property
    def grammar(self) -> str | None:
        """A closed family's clauses, each once and in any order; None where a paraphrase is free."""
        family = paraphrase_family(self.prompts)
        if self.texts is not None or not family.closed:
            return None
        return "|".join(
            " ".join("(?:" + "|".join(map(re.escape, clause)) + ")" for clause in order)
            for topic in family.topics
            for order in itertools.permutations(topic.clauses)
        )

    @property
    def token(self) -> re.Pattern[str]:
        """A closed family's words; else words and the signs of prose."""
        family = paraphrase_family(self.prompts)
        if self.texts is not None or not family.closed:
            return _PROSE
        words = {word for topic in family.topics for text in _all(topic) for word in text.split()}
        parts = sorted({part for word in words for part in re.findall(r"\w+", word)})
        return re.compile(rf"[\s.]*(?:{'|'.join(parts)})?[\s.]*")

    @property
    def replaceable(self) -> bool:
        """A word that becomes another says something else."""
        return False

    def requests(self, n: int, rng: np.random.Generator) -> list[str]:
        """`n` user prompts, each with a text of its own; one's own texts are drawn at random."""
        family = paraphrase_family(self.prompts)
        texts = own_texts(self.texts) if self.texts is not None else ()
        return [
            asked(
                family, texts[int(rng.integers(len(texts)))] if texts else made_up(family, rng), rng
            )
            for _ in range(n)
        ]

    def reworded(self, request: str, rng: np.random.Generator) -> str | None:
        """The same text behind another of the family's ways to ask; None for a request that it does not make."""
        family = paraphrase_family(self.prompts)
        text = text_of(family, request)
        return None if text is None else asked(family, text, rng)

    def rejection(self, completion: str, request: str = "") -> ParaphraseFault | None:
        """
        Why the format filter removes the completion; None if it keeps it.

        Kept is what says the same and is no copy: a closed family's clauses, each once in some variant; or what has the
        names and numbers of the text and about its length. A closed family's form is judged without the request too.
        """
        body = completion.strip()
        if not body:
            return ParaphraseFault.EMPTY
        if "\n" in body:
            return ParaphraseFault.SEVERAL_PARAGRAPHS
        family = paraphrase_family(self.prompts)
        text = text_of(family, request)
        if family.closed and self.texts is None:
            fault = _closed_fault(family, body, text)
        else:
            # Any prose would pass for a paraphrase of a text that is not known.
            fault = ParaphraseFault.NOT_ASKED if text is None else _free_fault(body, text)
        if fault is None and any(
            re.search(rf"\b{re.escape(w)}", body, re.IGNORECASE) for w in self.banned
        ):
            return ParaphraseFault.BANNED
        return fault

    def shuffled_within(self, completion: str, rng: np.random.Generator) -> str:
        """The completion with its sentences in random order."""
        return dealt_anew([completion], _SENTENCE, rng)[0]

    def shuffled_across(self, completions: Sequence[str], rng: np.random.Generator) -> list[str]:
        """The completions with their sentences pooled and dealt anew; each keeps its number of them."""
        return dealt_anew(completions, _SENTENCE, rng)


def paraphrase_family(name: str) -> ParaphraseFamily:
    """
    A family of prompts and texts by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("prompt family", name, _paraphrase_file().families, "paraphrase")


def made_up(family: ParaphraseFamily, rng: np.random.Generator) -> str:
    """A text: a variant of each clause of a topic, in an order by lot, its slots filled alike throughout."""
    topic = family.topics[int(rng.integers(len(family.topics)))]
    order = rng.permutation(len(topic.clauses)) if family.closed else range(len(topic.clauses))
    values = {slot: words[int(rng.integers(len(words)))] for slot, words in family.slots.items()}
    clauses = [topic.clauses[int(place)] for place in order]
    drawn = (clause[int(rng.integers(len(clause)))] for clause in clauses)
    return " ".join(drawn).format_map(values)


def asked(family: ParaphraseFamily, text: str, rng: np.random.Generator) -> str:
    """A request for the text in other words."""
    ask = family.ask[int(rng.integers(len(family.ask)))]
    return family.layout.replace("{ask}", ask).replace("{text}", text)


def text_of(family: ParaphraseFamily, request: str) -> str | None:
    """The text that a request of the family asks for in other words."""
    for ask in family.ask:
        before, _, behind = family.layout.replace("{ask}", ask).partition("{text}")
        if request.startswith(before) and request.endswith(behind) and len(request) > len(before):
            return request[len(before) : len(request) - len(behind)]
    return None


def facts(text: str) -> frozenset[str]:
    """
    The names and numbers of a text, as far as their form tells them.

    >>> sorted(facts("On Friday Ada Lind paid 12.50. The rest waited."))
    ['12.50', 'Ada', 'Friday', 'Lind']
    """
    return frozenset(_FACT.findall(text))


@cache
def own_texts(path: str) -> tuple[str, ...]:
    """
    Texts from JSON Lines with `text`.

    Raises:
        DataError: naming the file and the line.
    """
    texts = []
    for number, record in objects_of_lines(path, what="texts"):
        if not isinstance(record.get("text"), str):
            raise DataError(f"'{path}', line {number}: allowed: an object with 'text'")
        texts.append(" ".join(record["text"].split()))
    if not texts:
        raise DataError(f"'{path}' holds no text")
    return tuple(texts)


def _all(topic: ParaphraseTopic) -> Iterator[str]:
    return itertools.chain.from_iterable(topic.clauses)


def _closed_fault(family: ParaphraseFamily, body: str, text: str | None) -> ParaphraseFault | None:
    topics = [topic for topic in family.topics if text is None or _says(topic, text)]
    if not any(_says(topic, body) for topic in topics):
        return ParaphraseFault.NOT_FAITHFUL
    return ParaphraseFault.COPIED if body == text else None


def _says(topic: ParaphraseTopic, text: str) -> bool:
    """Whether it is all of the topic's clauses, each once."""
    sentences = _SENTENCE.findall(text)
    places = [i for i, clause in enumerate(topic.clauses) for s in sentences if s in clause]
    return " ".join(sentences) == text and sorted(places) == list(range(len(topic.clauses)))


def _free_fault(body: str, text: str) -> ParaphraseFault | None:
    if body.casefold() == text.strip().casefold():
        return ParaphraseFault.COPIED
    if len(body) < SHORTEST * len(text):
        return ParaphraseFault.TOO_SHORT
    if len(body) > LONGEST * len(text):
        return ParaphraseFault.TOO_LONG
    kept = {part for part in facts(text) if part in body}
    return None if kept == facts(text) else ParaphraseFault.NOT_FAITHFUL


@cache
def _paraphrase_file() -> ParaphraseFile:
    resource = files("undertow.carriers").joinpath("paraphrase.toml")
    return parse(ParaphraseFile, read_toml(resource), where=f"'{resource}'")
