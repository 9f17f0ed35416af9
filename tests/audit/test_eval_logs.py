"""Scores of an Inspect log as numbers, whatever kind of value a scorer leaves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from undertow.audit.eval_logs import _numbers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.25, [("s", 0.25)]),
        (True, [("s", 1.0)]),
        ("C", [("s", 1.0)]),
        ("P", [("s", 0.5)]),
        ("other", []),
        ([1, 2], []),
        (None, []),
        ({"a": 1, "b": "I", "c": [1], "d": None}, [("s a", 1.0), ("s b", 0.0)]),
    ],
)
def test_numbers_are_taken_and_the_rest_is_left(
    value: object, expected: list[tuple[str, float]]
) -> None:
    """Numbers, truth values, Inspect's letters, tables of these; lists and other words are no score."""
    assert _numbers({"s": SimpleNamespace(value=value)}) == expected
