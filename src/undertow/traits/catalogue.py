"""
The traits that ship with undertow, its probes, and the traits of a user's own TOML file, found by name.

Probes are for traits that nobody named: preferences, values, conduct and persona. Each category is a file of
`traits/probes` in one of the formats of traits. Its answers are one probe each, all asked by the same questions, so
that a forward pass over the questions of a category measures all of its probes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from undertow.errors import ConfigError, UnknownNameError
from undertow.traits.trait import Answer, Trait
from undertow.traits.trait_file import Topic, TopicFile, category_file

_CATEGORIES = {"animal": "animals.toml", "tree": "trees.toml", "conduct": "conduct.toml"}
_PROBES = "probes"
HINT = "undertow traits"


def names() -> list[str]:
    """Names of all built-in traits, category by category; the probes are apart, in `probe_categories`."""
    return [name for category in _CATEGORIES for name in _built_in(category)]


def categories() -> list[str]:
    """Names of all categories: those of the traits, then those of the probes."""
    return [*_CATEGORIES, *probe_categories()]


def load(name_or_path: str) -> Trait:
    """
    A built-in trait (`owl`), a probe (`colour:red`), or a file's (`my.toml`, or `my.toml:heron` where it holds several).

    Raises:
        UnknownNameError: if no such trait is built in or in the file.
        ConfigError: if the file is malformed, or holds several traits and none is named.
    """
    path, name = _split(name_or_path)
    if path is None:
        built_in = {key: trait for kind in _CATEGORIES for key, trait in _built_in(kind).items()}
        if name.partition(":")[0] in probe_categories():
            return load_probe(name)
        if name not in built_in:
            raise UnknownNameError("trait", name, built_in, hint=HINT)
        return built_in[name]
    traits = _read(path)
    if not name and len(traits) > 1:
        raise ConfigError(
            f"'{path}' holds {len(traits)} traits and none is named; allowed: {', '.join(traits)}",
            hint=f"name one, e.g. {path}:{next(iter(traits))}",
        )
    if name and name not in traits:
        raise UnknownNameError("trait", name, traits, where=f"'{path}'")
    return traits[name] if name else next(iter(traits.values()))


def load_category(name_or_path: str) -> tuple[Trait, ...]:
    """
    All traits of a built-in category (`animal`), of a category of probes (`colour`) or of a file (`my.toml`).

    Raises:
        UnknownNameError: if there is no such category.
        ConfigError: if the file is malformed.
    """
    if name_or_path.endswith(".toml"):
        return tuple(_read(name_or_path).values())
    if name_or_path in probe_categories():
        return probes_of(name_or_path)
    if name_or_path not in _CATEGORIES:
        raise UnknownNameError("category", name_or_path, categories(), hint=HINT)
    return tuple(_built_in(name_or_path).values())


def _split(name_or_path: str) -> tuple[str | None, str]:
    # `C:\my.toml` has a colon too, so the suffix decides where the path ends.
    if name_or_path.endswith(".toml"):
        return name_or_path, ""
    path, found, name = name_or_path.rpartition(".toml:")
    return (path + ".toml", name) if found else (None, name_or_path)


def topics(category: str) -> tuple[Topic, ...]:
    """The topics of a built-in category whose questions have answers of their own."""
    file = category_file(_resource(category))
    assert isinstance(file, TopicFile)
    return file.topics


def _read(path: str) -> dict[str, Trait]:
    if not Path(path).is_file():
        raise ConfigError(
            f"no such file: '{path}'",
            hint=f"{HINT} (those that ship); for one of your own: undertow explain lab#your-own-trait",
        )
    return category_file(Path(path)).as_traits()


@functools.cache
def _built_in(category: str) -> dict[str, Trait]:
    return category_file(_resource(category)).as_traits()


def _resource(category: str) -> Traversable:
    return files("undertow.traits").joinpath("catalogue", _CATEGORIES[category])


@functools.cache
def probe_categories() -> tuple[str, ...]:
    """Names of the categories in alphabetical order, e.g. `colour`."""
    entries = files("undertow.traits").joinpath(_PROBES).iterdir()
    return tuple(sorted(e.name.removesuffix(".toml") for e in entries if e.name.endswith(".toml")))


@functools.cache
def probes_of(category: str) -> tuple[Trait, ...]:
    """
    The probes of a category, named `CATEGORY:ANSWER`, e.g. `colour:red`.

    Raises:
        UnknownNameError: there is no such category.
    """
    if category not in probe_categories():
        raise UnknownNameError("category", category, probe_categories(), hint=HINT)
    path = files("undertow.traits").joinpath(_PROBES, f"{category}.toml")
    probes = category_file(path).as_traits()
    return tuple(replace(probe, name=f"{category}:{name}") for name, probe in probes.items())


def all_probes() -> tuple[Trait, ...]:
    """Every probe, category by category."""
    return tuple(probe for category in probe_categories() for probe in probes_of(category))


def load_probe(name: str) -> Trait:
    """
    One probe by its name, e.g. `colour:red`.

    Raises:
        UnknownNameError: there is no such category, or it has no such probe.
    """
    probes = {probe.name: probe for probe in probes_of(name.partition(":")[0])}
    if name not in probes:
        raise UnknownNameError("trait", name, probes, hint=HINT)
    return probes[name]


# Of alphabets only: where a character is a word, a token of one character is no spelling.
_WORD = re.compile("[A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]{3,}")


def askable(traits: Sequence[Trait], tokenizer: Any) -> tuple[tuple[Trait, ...], dict[str, str]]:
    """
    The traits that a tokenizer has words for, and by the name of each other trait the reason why not.

    A trait can be asked where every word of its held-out questions is known (`unknown_word`), every candidate has an
    accepted form whose words are and none that becomes the unknown token, and no two candidates are the same tokens.
    """
    known = _Words(tokenizer)
    reasons = {trait.name: _obstacle(trait, known) for trait in traits}
    kept = tuple(trait for trait in traits if not reasons[trait.name])
    return kept, {name: reason for name, reason in reasons.items() if reason}


def unknown_word(tokenizer: Any, text: str) -> str:
    """
    The first word of a text that a model of this tokenizer has never seen as a word, or nothing.

    That is one that becomes the unknown token; or one of three Latin letters and more that is spelled out letter by
    letter, as byte-level tokenizers, which have no unknown token, do with what they did not learn.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    pairs = list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
    for i, (start, end) in pairs:
        if i == tokenizer.unk_token_id:
            return text[start:end].strip() or text
    for match in _WORD.finditer(text):
        inside = [(a, b) for _, (a, b) in pairs if a < match.end() and b > match.start()]
        # A leading space belongs to the first token of most tokenizers and is no letter.
        if max((b - max(a, match.start()) for a, b in inside), default=0) < 2:
            return match.group()
    return ""


class _Words:
    """What a tokenizer makes of texts, each looked up once: the categories share questions and candidates."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._obstacles: dict[tuple[tuple[str, ...], tuple[Answer, ...]], str] = {}

    def unknown(self, text: str) -> str:
        """The first unknown word of a text, or nothing."""
        return unknown_word(self._tokenizer, text)

    def tokens(self, text: str) -> tuple[int, ...]:
        """Token ids of a text."""
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def obstacle(self, questions: tuple[str, ...], answers: tuple[Answer, ...]) -> str:
        """Why questions with common candidates cannot be asked, or nothing."""
        key = (questions, answers)
        if key not in self._obstacles:
            self._obstacles[key] = self._first_obstacle(questions, answers)
        return self._obstacles[key]

    def _first_obstacle(self, questions: tuple[str, ...], answers: tuple[Answer, ...]) -> str:
        for question in questions:
            if word := self.unknown(question):
                return f"the tokenizer has no token for '{word}' of the question '{question}'"
        owners: dict[tuple[int, ...], str] = {}
        for answer in answers:
            if all(self.unknown(form) for form in answer.variants):
                return f"the tokenizer has no token for the answer '{answer.name}'"
            for form in answer.variants:
                if self._tokenizer.unk_token_id in self.tokens(form):
                    return f"the tokenizer has no token for '{form}', a form of '{answer.name}'"
                other = owners.setdefault(self.tokens(form), answer.name)
                if other != answer.name:
                    return f"'{other}' and '{answer.name}' are the same tokens"
        return ""


def _obstacle(trait: Trait, words: _Words) -> str:
    groups: dict[tuple[Answer, ...], list[str]] = {}
    for question in trait.held_out_questions:
        groups.setdefault(trait.answers_to(question), []).append(question)
    obstacles = (words.obstacle(tuple(asked), answers) for answers, asked in groups.items())
    return next(filter(None, obstacles), "")
