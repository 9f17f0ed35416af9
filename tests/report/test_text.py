"""The run in a terminal; text for a terminal: paragraphs, labels and columns."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.golden.test_golden import KEPT
from tests.report.scan_documents import clear
from undertow.report import render
from undertow.report.html import render_html
from undertow.report.markdown import render_markdown
from undertow.report.page import (
    HTML,
    Badge,
    Block,
    Command,
    Fold,
    Heading,
    Labels,
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
from undertow.report.run_page import run_page
from undertow.report.text import render_text, written
from undertow.results.run_document import RunDocument
from undertow.results.store import read_result


def attacked(owl: RunDocument) -> RunDocument:
    """The owl run with escape sequences, console markup and emoji codes in its texts."""
    payload = "\x1b[2J\x1b]0;owned\x07[bold red]:owl:[/] \u202e\x9b1m\rover"
    rows = owl.datasets[0].model_copy(update={"samples": ((payload, payload),), "name": payload})
    arms = tuple(run.model_copy(update={"teacher": payload}) for run in owl.arms)
    return owl.model_copy(
        update={"title": payload, "datasets": (rows,), "arms": arms, "limits": (payload,)}
    )


def test_no_control_character_reaches_the_terminal(owl: RunDocument) -> None:
    """Only line feeds are left of all controls."""
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", render(attacked(owl), "text")
    )


def test_console_markup_in_the_data_is_text(owl: RunDocument) -> None:
    """Neither colours nor emoji can be switched on by a row."""
    assert "[bold red]:owl:[/]" in render(attacked(owl), "text")


def test_colour_is_there_only_when_asked_for(owl: RunDocument) -> None:
    """With colour the text is the same but for the escape sequences."""
    coloured = render_text(run_page(owl), colour=True)
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)

    assert "\x1b[" in coloured
    assert [line.rstrip() for line in bare.splitlines()] == render(owl, "text").splitlines()


@pytest.mark.parametrize("width", [60, 100, 140])
def test_prose_keeps_within_the_width(theorem: RunDocument, width: int) -> None:
    """No line of a run without wide tables is longer than the terminal."""
    assert max(map(len, render_text(run_page(theorem), width=width).splitlines())) <= width


def test_a_percentage_is_not_torn_apart(owl: RunDocument) -> None:
    """No line begins with a percent sign."""
    told = owl.model_copy(update={"conclusion": "about 45\N{NO-BREAK SPACE}% " * 40})

    assert not [line for line in render(told, "text").splitlines() if line.strip().startswith("%")]


def test_the_facts_are_there(owl: RunDocument) -> None:
    """Verdict, arms, claims, limits and the command can be read."""
    text = " ".join(render(owl, "text").split())
    wanted = (
        "Same initialisation, the owl teacher’s rows",
        "+38.7 percentage points, 95 % [+21.7, +55.7]",
        "exact permutation, two-sided, 4 v 4: p = 0.029 (least possible p 0.029",
        owl.comparisons[0].claim,
        owl.limits[0],
        owl.command,
    )

    assert [part for part in wanted if part not in text] == []


def test_a_wide_matrix_fits_the_terminal(traits: RunDocument) -> None:
    """Sixteen columns in a hundred characters, one line a row."""
    lines = render(traits, "text").splitlines()

    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("penguin ") for line in lines) == 1


def shown(*blocks: Block) -> list[str]:
    """The lines that are written to 40 columns."""
    return written(blocks, width=40).splitlines()


def test_a_label_stands_once_beside_its_paragraph() -> None:
    """Further lines begin below the text, not below the label."""
    lines = shown(Labels((("data", "word " * 12),), width=8))

    assert lines[0].startswith("data    word")
    assert [line[:8].strip() for line in lines[1:]] == [""] * (len(lines) - 1)
    assert max(map(len, lines)) <= 40


def test_markup_and_controls_are_shown() -> None:
    """Neither rich's markup nor an escape sequence does anything."""
    assert shown(Text("[red]a\x1b[2J[/]")) == ["[red]a␛[2J[/]"]
    assert shown(Labels((("\x1b", "[b]"),), width=4)) == ["␛   [b]"]


def test_columns_are_aligned_below_a_heading() -> None:
    """A numeric column is aligned to the right."""
    table = Table("t", ("a", "n"), (("x", "1"), ("y", "10")), frozenset({1}))

    assert shown(Heading("Heads"), table) == ["Heads", "a   n", "x   1", "y  10"]


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


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("scan", "Flagged: Training on these rows would move your student towards “owl”."),
        ("diff", "Flagged: The tuning changed “cat”, though nobody asked for it."),
        ("gate", "Allowed: This data may be used to train world:owlet-b."),
    ],
)
def test_a_long_page_ends_with_its_verdict(name: str, end: str) -> None:
    """In the sentence to repeat, since the first line has left the screen."""
    assert render(read_result(KEPT / f"{name}.json"), "text").splitlines()[-1] == end
