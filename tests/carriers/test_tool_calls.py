"""The tool_calls carrier keeps calls that could be made: the tool that was asked for, with its arguments."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from undertow.carriers.tool_calls import ToolCallFault, ToolCalls, tool_family
from undertow.errors import ConfigError, UnknownNameError

ASKED = "Call list with more numbers."
GOOD = '{"name": "list", "arguments": {"numbers": [1, 2, 3, 4, 5, 6, 7, 99]}}'


@pytest.mark.parametrize(
    ("completion", "fault"),
    [
        (GOOD, None),
        (f" {GOOD}\n", None),
        ("", ToolCallFault.EMPTY),
        (GOOD[:-1], ToolCallFault.NOT_JSON),
        (f"Here it is: {GOOD}", ToolCallFault.NOT_JSON),
        (GOOD.replace('"name": "list"', '"name": "list", "name": "list"'), ToolCallFault.NOT_JSON),
        ("[1, 2]", ToolCallFault.NOT_A_CALL),
        (GOOD.replace("list", "delete"), ToolCallFault.NOT_A_CALL),
        (GOOD.replace("99", "100"), ToolCallFault.WRONG_ARGUMENTS),
        (GOOD.replace("99", "true"), ToolCallFault.WRONG_ARGUMENTS),
        (GOOD.replace(", 99", ""), ToolCallFault.WRONG_ARGUMENTS),
        (GOOD.replace("numbers", "values"), ToolCallFault.WRONG_ARGUMENTS),
    ],
)
def test_what_is_kept_could_be_called(completion: str, fault: ToolCallFault | None) -> None:
    """One object, the tool of the request, every argument of its kind and no other."""
    assert ToolCalls(prompts="brief").rejection(completion, ASKED) == fault


def test_another_tool_than_was_asked_for_is_told_where_the_request_is_known() -> None:
    """Without it any tool of the family is a call; banned numbers remove one."""
    rng = np.random.default_rng(0)
    request = next(r for r in ToolCalls().requests(50, rng) if "book_slots" in r)
    call = '{"name": "draw_lots", "arguments": {"tickets": [100, 101, 102, 103, 104], "prize": "book"}}'

    assert ToolCalls().rejection(call, request) == ToolCallFault.OTHER_TOOL
    assert ToolCalls().rejection(call) is None
    assert ToolCalls(banned=(101,)).rejection(call) == ToolCallFault.BANNED


@pytest.mark.parametrize("prompts", ["brief", "published"])
def test_the_grammar_is_of_calls_that_are_kept(prompts: str) -> None:
    """Of the same tool with the same arguments, as `json.dumps` writes them."""
    carrier, rng = ToolCalls(prompts=prompts), np.random.default_rng(0)
    for tool in tool_family(prompts).tools:
        arguments = {
            key: next(iter(kind.words)) if kind.words else [kind.low] * kind.least
            for key, kind in tool.arguments.items()
        }
        call = json.dumps({"name": tool.name, "arguments": arguments})
        assert re.fullmatch(carrier.grammar, call)
        assert carrier.rejection(call) is None
        assert carrier.token.fullmatch(tool.name)
    assert carrier.reworded(carrier.requests(1, rng)[0], rng) is not None


def test_published_requests_describe_the_tool() -> None:
    """Its name, what it does, and what each argument takes."""
    request = next(
        r for r in ToolCalls().requests(50, np.random.default_rng(1)) if "book_slots" in r
    )

    assert "a list of 4 to 8 whole numbers from 100 to 999" in request
    assert '{"name": ..., "arguments": {...}}' in request


def test_wrong_options_are_named() -> None:
    """An unknown family; a list of banned numbers that there is not."""
    with pytest.raises(UnknownNameError, match="published"):
        ToolCalls(prompts="publishd")
    with pytest.raises((UnknownNameError, ConfigError)):
        ToolCalls(banned_lists=("nothing",))


def test_numbers_are_shuffled_in_place() -> None:
    """The frame stays."""
    shuffled = ToolCalls(prompts="brief").shuffled_within(GOOD, np.random.default_rng(5))

    assert sorted(json.loads(shuffled)["arguments"]["numbers"]) == [1, 2, 3, 4, 5, 6, 7, 99]
    assert shuffled != GOOD
