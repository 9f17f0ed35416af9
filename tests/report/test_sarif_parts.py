"""Texts, paths and absent values in SARIF."""

from __future__ import annotations

import pytest

from undertow.report.plain_text import visible_throughout
from undertow.report.sarif import location, message, without_gaps


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("a.jsonl", "a.jsonl"),
        ("./a.jsonl", "a.jsonl"),
        ("../a#b?.jsonl", "../a%23b%3F.jsonl"),
        ("c:d.jsonl", "c%3Ad.jsonl"),
        ("/x/a.jsonl", "file:///x/a.jsonl"),
        ("hf://org/rows", "hf://org/rows"),
        ("\ud800", "%3F"),
    ],
)
def test_paths_become_uri_references(path: str, uri: str) -> None:
    """Relative, absolute, remote; nothing in a name acts as part of the address."""
    assert location(path) == uri


def test_messages_escape_what_sarif_gives_a_meaning() -> None:
    """Links, placeholders and the escape itself."""
    assert message("[a](b)\\{0}") == {"text": "\\[a\\](b)\\\\{{0}}"}


def test_absent_values_leave_no_key() -> None:
    """None and numbers that JSON lacks are left out at every depth; falsehood and zero stay."""
    given = {"a": None, "b": [{"c": float("nan"), "d": 0}], "e": False}

    assert without_gaps(given) == {"b": [{"d": 0}], "e": False}


def test_properties_are_visible() -> None:
    """Dashboards print them, controls of a terminal and of directions among them."""
    assert visible_throughout({"a\x1b": ["\u202e", {"b": ("\x9b", 1)}]}) == {
        "a␛": ["‹U+202E›", {"b": ["‹U+009B›", 1]}]
    }
