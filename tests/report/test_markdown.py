"""The run as Markdown, read back by an independent parser."""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from undertow.report import render
from undertow.report.markdown import code, escaped
from undertow.report.plain_text import visible
from undertow.results.run_document import RunDocument

PAYLOAD = (
    "a|b `c` **d** <img src=x> [e](javascript:f) ![g](h) http://i.invalid www.j.invalid k@l.m\nn"
)
PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
TEXT = st.text(st.sampled_from("`|*_<>[]()!\\#~&;:/@w.-+ a1\n$") | st.characters())


@given(TEXT)
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    """Markdown's own reading of the escaped text is the text."""
    shown = " ".join(visible(text).split(" ")).strip(" ")

    assert html.unescape(PARSER.renderInline(escaped(shown))) == shown


@given(TEXT)
def test_code_is_shown_as_it_is(text: str) -> None:
    """A code span holds any text, backticks included."""
    found = PARSER.renderInline(code(text))
    inside = html.unescape(found.removeprefix("<code>").removesuffix("</code>"))

    assert inside in (visible(text), visible(text).strip(" "), "(nothing)")


@given(TEXT)
def test_a_cell_stays_one_cell(text: str) -> None:
    """Whatever the text, the cell after it is still the third."""
    row = f"| {escaped(text)} | {code(text, cell=True)} | end |"
    tokens = PARSER.parse(f"| a | b | c |\n| --- | --- | --- |\n{row}\n")
    cells = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "td_open"]

    assert len(cells) == 3
    assert cells[2] == "end"


def test_hostile_text_makes_no_markup(owl: RunDocument) -> None:
    """No image, link or heading comes from the data."""
    rows = owl.datasets[0].model_copy(
        update={
            "name": PAYLOAD,
            "samples": ((PAYLOAD, PAYLOAD),),
            "removed_samples": ((PAYLOAD, PAYLOAD, PAYLOAD),),
        }
    )
    attacked = owl.model_copy(
        update={"title": PAYLOAD, "conclusion": PAYLOAD, "datasets": (rows,), "limits": (PAYLOAD,)}
    )
    page = PARSER.render(render(attacked, "markdown"))

    assert not re.search(r"<(img|a|script)\b", page)
    assert page.count("<h1>") == 1
    assert not re.search(r"http://|www\.|k@l", escaped(PAYLOAD))


def test_every_table_is_read_as_one(owl: RunDocument) -> None:
    """The parser finds the figure, the runs, the comparisons and the teachers as tables."""
    page = PARSER.render(render(owl, "markdown"))

    assert page.count("<table>") >= 8
    assert page.count("<td>trait</td>") == 1 + 2 * 4
    assert "| ---" not in page
