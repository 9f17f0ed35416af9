"""Prompt families and banned numbers of the numbers carrier, read from `numbers.toml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from pydantic import BaseModel, ConfigDict

from undertow.carriers.prompt_file import look_up
from undertow.data.closed import parse, read_toml

_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Family(BaseModel):
    """Parts of a prompt that are crossed at random."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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


class PromptFile(BaseModel):
    """The file `numbers.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    families: dict[str, Family]
    """Prompt families by name."""

    banned: dict[str, tuple[int, ...]]
    """Lists of banned numbers by name."""


def family(name: str) -> Family:
    """
    A prompt family by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("prompt family", name, _file().families, "numbers")


def banned(name: str) -> tuple[int, ...]:
    """
    A list of banned numbers by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("list of banned numbers", name, _file().banned, "numbers")


def prompt(source: Family, examples: str, count: int, rng: np.random.Generator) -> str:
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
def _file() -> PromptFile:
    resource = files("undertow.carriers").joinpath("numbers.toml")
    return parse(PromptFile, read_toml(resource), where=f"'{resource}'")
