"""Docstrings of checks as pages; the page of a check in a terminal."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import EntryPoint

import pytest

from undertow.checks import registry
from undertow.checks.registry import Registered, registered
from undertow.errors import UnknownNameError
from undertow.report.check_page import (
    CANNOT,
    TO_DO,
    WHY,
    CheckPage,
    check_page,
    explanation,
    pages_of,
    read_docstring,
)
from undertow.report.text import written


def example() -> None:
    """
    One sentence
    over two lines.

    Introduction.

    Why it matters. Because
    it does.

    What it cannot tell you. Much.

    More of it:

    - one
    - two

    What to do.

    Look.
    """


DOCSTRING = inspect.getdoc(example) or ""


def test_sections_are_found_by_their_headings() -> None:
    """Summary, introduction and three sections; a heading may stand alone or before its text."""
    page = read_docstring(DOCSTRING, id="x", kind="evidence")

    assert (page.summary, page.introduction) == ("One sentence over two lines.", ("Introduction.",))
    assert [name for name, _ in page.sections] == [WHY, CANNOT, TO_DO]
    assert [page.section(name) for name in (WHY, TO_DO)] == ["Because it does.", "Look."]


def test_lists_keep_their_lines() -> None:
    """Prose is unwrapped, a list is not; as one text it is on one line."""
    page = read_docstring(DOCSTRING, id="x", kind="evidence")

    assert dict(page.sections)[CANNOT] == ("Much.", "More of it:", "- one\n- two")
    assert page.section(CANNOT) == "Much. More of it: - one - two"
    assert page.section("No such heading") == ""


def test_a_check_without_a_docstring_has_its_summary() -> None:
    """A check whose module cannot be imported is shown as the registry tells of it."""
    point = EntryPoint("broken", "no.such.module:f", registry.GROUP)
    broken = Registered("broken", "evidence", "what it would ask", point)
    known = {"broken": broken}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "registered", lambda about: known)
        page = check_page("broken")

    assert (page.summary, page.sections) == ("what it would ask", ())


def test_a_check_that_is_not_installed_has_no_words() -> None:
    """A stored result of another machine renders; a question for a page is refused."""
    assert pages_of(("else/where",))["else/where"].summary == ""
    with pytest.raises(UnknownNameError, match=r"unknown check 'rehersal'.*did you mean"):
        check_page("rehersal")


@pytest.mark.parametrize("id", registered())
def test_every_registered_check_has_a_page(id: str) -> None:
    """At least a summary."""
    page = check_page(id)

    assert page.id == id
    assert page.summary


PAGE = CheckPage(
    "rehearsal",
    "transfer",
    "One sentence.",
    ("An introduction.",),
    ((WHY, ("A long reason. " * 20, "- one\n- two\x1b[2J")),),
)


def test_the_page_is_shown_in_its_order() -> None:
    """Id, summary, kind, introduction, sections."""
    text = written(explanation(PAGE))
    wanted = ("rehearsal", "One sentence.", "judges transfer", "An introduction.", WHY, "- one")
    places = [text.index(part) for part in wanted]

    assert places == sorted(places)
    # A line stands between paragraphs, as it does before them.
    assert "reason.\n\n- one\n- two␛[2J\n" in text


@pytest.mark.parametrize("width", [50, 100])
def test_it_keeps_within_the_width(width: int) -> None:
    """Prose is wrapped."""
    assert max(map(len, written(explanation(PAGE), width=width).splitlines())) <= width


def test_colour_is_there_only_when_asked_for() -> None:
    """With colour the text is the same but for the escape sequences."""
    bare = re.sub(r"\x1b\[[0-9;]*m", "", written(explanation(PAGE), colour=True))

    assert bare == written(explanation(PAGE))
    assert "evidence in a unit" in written(explanation(CheckPage("x", "evidence", "s")))
