"""A carrier is told by the format of its rows."""

from __future__ import annotations

from dataclasses import replace

from tests.mitigate.subjects import numbers
from undertow.carriers.carrier_registry import carrier_of, request_of


def test_a_carrier_is_told_by_its_format() -> None:
    """Number lists are the carrier `numbers`, even if one in 200 is not; prose is none, and neither is nothing."""
    lists = numbers(400)
    prose = [replace(row, completion="The owl sleeps by day.") for row in lists]
    carrier = carrier_of(lists)

    assert carrier is not None
    assert carrier.name == "numbers"
    assert carrier_of([*prose[:2], *lists[2:]]) is not None
    assert carrier_of(prose) is None
    assert carrier_of([]) is None


def test_the_request_is_the_last_turn() -> None:
    """And empty where there is no prompt."""
    row = numbers(1)[0]

    assert request_of(row) == row.prompt[-1].content
    assert request_of(replace(row, prompt=())) == ""
