"""Prompt families and banned words of the code carrier, read from `code.toml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from pydantic import BaseModel, ConfigDict

from undertow.carriers.prompt_file import look_up
from undertow.data.closed import parse, read_toml


class Family(BaseModel):
    """What may be asked for, and in which words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: str
    """Holds `{task}` and the names of the parts."""

    least: int
    """Least constant `{k}` of a task."""

    most: int
    """Largest constant `{k}` of a task."""

    tasks: dict[str, str]
    """What is asked for, by a short name."""

    parts: dict[str, tuple[str, ...]] = {}
    """Variants of each part."""


class PromptFile(BaseModel):
    """The file `code.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    families: dict[str, Family]
    """Prompt families by name."""

    banned: dict[str, tuple[str, ...]]
    """Lists of banned words by name."""


def family(name: str) -> Family:
    """
    A prompt family by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("prompt family", name, _file().families, "code")


def banned(name: str) -> tuple[str, ...]:
    """
    A list of banned words by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("list of banned words", name, _file().banned, "code")


def draw(source: Family, tasks: tuple[str, ...], rng: np.random.Generator) -> tuple[str, int]:
    """A task's name and its constant."""
    task = str(rng.choice(list(tasks)))
    return task, int(rng.integers(source.least, source.most + 1))


def prompt(source: Family, task: str, constant: int, rng: np.random.Generator) -> str:
    """One prompt for the task: a variant of each part, filled in."""
    parts = {
        name: variants[int(rng.integers(len(variants)))] for name, variants in source.parts.items()
    }
    return source.layout.format(task=source.tasks[task].format(k=constant), **parts)


@cache
def _file() -> PromptFile:
    resource = files("undertow.carriers").joinpath("code.toml")
    return parse(PromptFile, read_toml(resource), where=f"'{resource}'")
