"""A page without a brief form, as a new document has it at first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.report.scan_documents import clear
from undertow.report.html import render_html
from undertow.report.markdown import render_markdown
from undertow.report.page import (
    HTML,
    Badge,
    Command,
    Fold,
    Listing,
    Page,
    Part,
    Questions,
    Records,
    Section,
    Settings,
    Table,
    Terms,
    Text,
)
from undertow.report.text import render_text

PAGE = Page(
    document=clear(),
    id="new",
    verb="new",
    subject="data.jsonl",
    window="new",
    title="What is it?",
    badge=Badge("clear", "clear"),
    conclusion="nothing was seen",
    sections=(
        Section(
            "all",
            "All of it",
            (
                Text("for browsers", only=HTML),
                Part("one check", Badge("done", "none"), (Command("undertow new"),)),
                Fold("more", (Table("numbers", ("a",), (("17",),)),)),
                Listing(("an item",)),
                Terms((("word", "meaning"),)),
                Questions((("Is it safe?", "yes", "as far as known"),)),
                Records(("c",), (("18",),), frozenset(), "verdicts"),
                Settings("plan", ("rank = 8",), "The plan"),
            ),
        ),
    ),
)
SHOWN = ("nothing was seen", "All of it", "one check", "undertow new", "17", "an item", "meaning")
FURTHER = ("Is it safe?", "yes", "as far as known", "18", "rank = 8")


@pytest.mark.parametrize("write", [render_html, render_markdown, render_text])
def test_a_page_of_one_function_is_shown_by_every_writer(write: Callable[[Page], str]) -> None:
    """Its sections are the whole of it; only what names its writers is left out."""
    text = write(PAGE).lower()

    assert [part for part in (*SHOWN, *FURTHER) if part.lower() not in text] == []
    assert ("for browsers" in text) == (write is render_html)
