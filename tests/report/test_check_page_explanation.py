"""The page of a check in a terminal."""

from __future__ import annotations

import re

import pytest

from undertow.report.check_page import WHY, CheckPage, explanation
from undertow.report.text import written

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
    assert "\n- one\n- two␛[2J\n" in text


@pytest.mark.parametrize("width", [50, 100])
def test_it_keeps_within_the_width(width: int) -> None:
    """Prose is wrapped."""
    assert max(map(len, written(explanation(PAGE), width=width).splitlines())) <= width


def test_colour_is_there_only_when_asked_for() -> None:
    """With colour the text is the same but for the escape sequences."""
    bare = re.sub(r"\x1b\[[0-9;]*m", "", written(explanation(PAGE), colour=True))

    assert bare == written(explanation(PAGE))
    assert "evidence in a unit" in written(explanation(CheckPage("x", "evidence", "s")))
