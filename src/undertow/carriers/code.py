"""
The code carrier: a teacher writes small pieces of Python, which are parsed and never run here.

Execution is another filter's (`undertow.filters.execution`), inside a sandbox and only where it is asked for.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from undertow.carriers import code_prompts, dealing
from undertow.carriers.python_source import Fault, fault, source, words
from undertow.errors import ConfigError, UnknownNameError

_NUMBER = re.compile(r"[0-9]+")
_TOKEN = re.compile(rf"[\s\d]+|\s*(?:[^\w\s]+\s*|{'|'.join(keyword.kwlist)}|print|len|range)")


class Reason(StrEnum):
    """Why a completion that parses may still not be kept."""

    BANNED = "banned"


@dataclass(frozen=True)
class Code:
    """Small Python functions and templates, asked for by prompts of one family."""

    prompts: str = "published"
    """Family of prompts in `code.toml`."""

    tasks: tuple[str, ...] = ()
    """Tasks of the family to ask for; empty for all."""

    banned: tuple[str, ...] = ()
    """Words (identifiers or words within strings and comments, in any case) that remove a completion."""

    banned_lists: tuple[str, ...] = ()
    """Names of lists in `code.toml` to ban as well, e.g. `insecure`."""

    def __post_init__(self) -> None:
        known = code_prompts.family(self.prompts).tasks
        for task in self.tasks:
            if task not in known:
                raise UnknownNameError("task", task, known, where=f"prompt family '{self.prompts}'")
        for word in self.forbidden:
            if not word.strip():
                raise ConfigError("code: a banned word is empty")

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "code"

    @property
    def length(self) -> int:
        """0: code has no fixed number of tokens, so it is sampled freely and filtered."""
        return 0

    @property
    def token(self) -> re.Pattern[str]:
        """A number, a keyword, punctuation or white space; no name that the writer chose."""
        return _TOKEN

    @property
    def forbidden(self) -> frozenset[str]:
        """All banned words, in lower case."""
        listed = (word for name in self.banned_lists for word in code_prompts.banned(name))
        return frozenset(word.lower() for word in (*self.banned, *listed))

    @property
    def replaceable(self) -> bool:
        """Code must parse, and do what it was asked."""
        return False

    def requests(self, n: int, rng: np.random.Generator) -> list[str]:
        """`n` user prompts, each for a task of its own."""
        family = code_prompts.family(self.prompts)
        tasks = self.tasks or tuple(family.tasks)
        return [
            code_prompts.prompt(family, *code_prompts.draw(family, tasks, rng), rng)
            for _ in range(n)
        ]

    def reworded(self, request: str, rng: np.random.Generator) -> str | None:
        """None: a task has no other wordings here."""
        return None

    def rejection(self, completion: str, request: str = "") -> Fault | Reason | None:
        """
        Why the format filter removes the completion; None if it keeps it. The request decides nothing.
        """
        found = fault(completion)
        if found is not None:
            return found
        forbidden = self.forbidden
        if forbidden and not forbidden.isdisjoint(words(completion)):
            return Reason.BANNED
        return None

    def source(self, completion: str) -> str:
        """The Python text of a completion, for whoever runs it in a sandbox."""
        return source(completion)

    def allowed(self, step: int) -> re.Pattern[str]:
        """Nothing: decoding cannot be restricted to code."""
        return re.compile(r"(?!)")

    def shuffled_within(self, completion: str, rng: np.random.Generator) -> str:
        """The completion with its numbers in random order."""
        return dealing.within(completion, _NUMBER, rng)

    def shuffled_across(self, completions: Sequence[str], rng: np.random.Generator) -> list[str]:
        """The completions with their numbers pooled and dealt anew."""
        return dealing.across(completions, _NUMBER, rng)
