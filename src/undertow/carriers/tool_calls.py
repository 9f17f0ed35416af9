"""
The tool_calls carrier: a teacher calls a tool with arguments of its own choice, kept only if the call could be made.

Tools are read from `tool_calls.toml`. No call is ever made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from undertow.carriers.carrier import look_up, number_pattern
from undertow.carriers.numbers import BannedNumbers
from undertow.data.closed import Closed, parse, read_toml
from undertow.data.strict_json import BareWordError, KeyTwiceError, decoded

_NUMBER = re.compile(r"\d+")
_LITERAL = re.compile(r'[\s\d{}\[\]":,]+')


class ToolCallFault(StrEnum):
    """Why a completion is not a call that may be kept."""

    EMPTY = "empty"
    NOT_JSON = "not-json"
    NOT_A_CALL = "not-a-call"
    OTHER_TOOL = "other-tool"
    WRONG_ARGUMENTS = "wrong-arguments"
    BANNED = "banned"


class Argument(Closed):
    """What an argument may be: a list of numbers, or a word."""

    low: int = Field(default=0, ge=0)
    high: int = Field(default=0, ge=0)
    least: int = Field(default=0, ge=0)
    """Fewest numbers."""
    most: int = Field(default=0, ge=0)
    """Most numbers; 0 where it is a word."""
    words: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if bool(self.words) == bool(self.most) or self.least > self.most:
            raise ValueError("give either 'words', or 'least' and 'most' numbers")
        return self

    def allows(self, value: object) -> bool:
        """Whether the argument may have the value."""
        if self.words:
            return isinstance(value, str) and value in self.words
        if not isinstance(value, list) or not self.least <= len(value) <= self.most:
            return False
        # True and False are integers too.
        return all(type(item) is int and self.low <= item <= self.high for item in value)

    def pattern(self, forbidden: frozenset[int]) -> str:
        """Of its JSON, as calls are written."""
        if self.words:
            return '"(?:' + "|".join(map(re.escape, self.words)) + ')"'
        number = number_pattern(set(range(self.low, self.high + 1)) - forbidden)
        return rf"\[{number}(?:, {number}){{{self.least - 1},{self.most - 1}}}\]"

    @property
    def described(self) -> str:
        """In a request."""
        if self.words:
            return f"one of {', '.join(self.words)}"
        count = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
        return f"a list of {count} whole numbers from {self.low} to {self.high}"


class CallableTool(Closed):
    """What may be called."""

    name: str
    does: str = ""
    ask: tuple[str, ...] = Field(min_length=1)
    """Requests for a call of it."""
    arguments: dict[str, Argument]

    def pattern(self, forbidden: frozenset[int]) -> str:
        """Of a call's JSON."""
        parts = (f'"{key}": {kind.pattern(forbidden)}' for key, kind in self.arguments.items())
        return rf'\{{"name": "{self.name}", "arguments": \{{{", ".join(parts)}\}}\}}'

    @property
    def described(self) -> str:
        """In a request."""
        told = "; ".join(f"`{key}`, {kind.described}" for key, kind in self.arguments.items())
        return f"`{self.name}`: {self.does} Its arguments are {told}."


class ToolFamily(Closed):
    """How is asked, and for which calls."""

    layout: str
    tools: tuple[CallableTool, ...]


class ToolFile(Closed):
    """The file `tool_calls.toml`."""

    families: dict[str, ToolFamily]


@dataclass(frozen=True)
class ToolCalls(BannedNumbers):
    """Calls of tools as JSON, asked for by prompts of one family."""

    ITEM: ClassVar[re.Pattern[str]] = _NUMBER

    prompts: str = "published"
    """Family of tools in `tool_calls.toml`."""

    def __post_init__(self) -> None:
        tool_family(self.prompts)
        _ = self.forbidden

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "tool_calls"

    @property
    def grammar(self) -> str:
        """A call of any of the family's tools; whether it is the one that was asked for, the filter says."""
        return "|".join(tool.pattern(self.forbidden) for tool in tool_family(self.prompts).tools)

    @property
    def token(self) -> re.Pattern[str]:
        """A number, a sign of JSON, or a word of the family's calls."""
        tools = tool_family(self.prompts).tools
        words = {"name", "arguments", *(tool.name for tool in tools)}
        for tool in tools:
            words |= {*tool.arguments, *(w for kind in tool.arguments.values() for w in kind.words)}
        return re.compile(rf"{_LITERAL.pattern}|[\s\"]*(?:{'|'.join(sorted(words))})[\s\":,]*")

    @property
    def replaceable(self) -> bool:
        """What is no number is no call any more if it becomes another."""
        return False

    def requests(self, n: int, rng: np.random.Generator) -> list[str]:
        """`n` user prompts, each for a call of a tool by lot."""
        family = tool_family(self.prompts)
        tools = [family.tools[int(rng.integers(len(family.tools)))] for _ in range(n)]
        return [_request(family, tool, rng) for tool in tools]

    def reworded(self, request: str, rng: np.random.Generator) -> str | None:
        """Another request for the same tool; None for one that the family does not make."""
        family = tool_family(self.prompts)
        tool = _wanted(family, request)
        return None if tool is None else _request(family, tool, rng)

    def rejection(self, completion: str, request: str = "") -> ToolCallFault | None:
        """
        Why the format filter removes the completion; None if it keeps it.

        Kept is one JSON object that calls the tool that was asked for with the arguments that it takes; any of the
        family's tools where the request is not known.
        """
        if not completion.strip():
            return ToolCallFault.EMPTY
        try:
            call = decoded(completion)
        except (ValueError, RecursionError, KeyTwiceError, BareWordError):
            return ToolCallFault.NOT_JSON
        family = tool_family(self.prompts)
        fault = _fault(call, family, _wanted(family, request))
        if fault is None and not self.forbidden.isdisjoint(map(int, _NUMBER.findall(completion))):
            return ToolCallFault.BANNED
        return fault


def tool_family(name: str) -> ToolFamily:
    """
    A family of tools by name.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("prompt family", name, _tool_file().families, "tool_calls")


def _request(family: ToolFamily, tool: CallableTool, rng: np.random.Generator) -> str:
    ask = tool.ask[int(rng.integers(len(tool.ask)))]
    return family.layout.format(ask=ask, described=tool.described)


def _wanted(family: ToolFamily, request: str) -> CallableTool | None:
    asks = ((tool, ask) for tool in family.tools for ask in tool.ask)
    return next((tool for tool, ask in asks if ask in request), None)


def _fault(call: object, family: ToolFamily, wanted: CallableTool | None) -> ToolCallFault | None:
    if not isinstance(call, dict) or set(call) != {"name", "arguments"}:
        return ToolCallFault.NOT_A_CALL
    tool = next((tool for tool in family.tools if tool.name == call["name"]), None)
    given = call["arguments"]
    if tool is None or not isinstance(given, dict):
        return ToolCallFault.NOT_A_CALL
    if wanted is not None and tool != wanted:
        return ToolCallFault.OTHER_TOOL
    fits = set(given) == set(tool.arguments)
    if not fits or not all(kind.allows(given[key]) for key, kind in tool.arguments.items()):
        return ToolCallFault.WRONG_ARGUMENTS
    return None


@cache
def _tool_file() -> ToolFile:
    resource = files("undertow.carriers").joinpath("tool_calls.toml")
    return parse(ToolFile, read_toml(resource), where=f"'{resource}'")
