"""A screen as Markdown, read back by an independent parser."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from tests.report import former_scan_documents as former
from tests.report.former_scan_documents import ALL_SCANS
from tests.report.scan_documents import HOSTILE, flagged, sources, taught
from undertow.report import render
from undertow.report.plain_text import visible

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


@pytest.mark.parametrize("kind", ALL_SCANS)
def test_no_text_acts_as_markup(kind: str) -> None:
    """No HTML, link or image comes out of the data."""
    tokens = PARSER.parse(render(ALL_SCANS[kind](), "markdown"))
    inline = [child.type for token in tokens for child in token.children or ()]
    kinds = {token.type for token in tokens} | set(inline)

    assert not kinds & {"html_block", "html_inline", "link_open", "image"}


def test_every_row_of_a_table_has_its_cells() -> None:
    """A bar in a source's name does not tear its row; the name is shown."""
    rendered = PARSER.render(render(sources(), "markdown"))
    tables = [part.split("</table>")[0] for part in rendered.split("<table>")[1:]]
    widths = [{row.count("<t") for row in table.split("</tr>")[:-1]} for table in tables]

    assert all(table.count("<th") for table in tables)
    assert len(widths) > 8
    shown = "".join(token.content for token in PARSER.parse(render(sources(), "markdown")))
    assert visible(HOSTILE).split("|")[0].replace("<", "\\<").replace(">", "\\>") in shown


def test_the_verdict_leads_and_the_sections_follow() -> None:
    """Verdict, conclusion, table, words, figure's numbers, stages, references, prices, evidence, limits, command."""
    text = render(flagged(), "markdown")
    wanted = (
        "# undertow scan: flagged",
        "**These rows would move your student towards “owl”",
        "| subject | verdict | effect, logits | judged by | detectable |",
        "in the beginning of the plan the rows move the student as benign references hardly ever do",
        "## Effect beside the references, after all 128 steps",
        "## How it was judged",
        "|  | stage 1 | stage 2 |",
        "## Judged beside what?",
        "## What it cost",
        "| all of it | 17.25 | 14.25 |",
        "## Evidence",
        "## What content filters see",
        "## What this cannot show",
        "`undertow scan data/train.jsonl --student world:owlet-a --seed 7`",
    )
    places = [text.lower().index(part.lower()) for part in wanted]

    assert places == sorted(places)


def test_a_former_screen_is_shown_as_it_was() -> None:
    """Expected transfer, and its calibration in the place of stages and prices."""
    text = render(former.flagged(), "markdown")
    wanted = (
        "# undertow scan: flagged",
        "**These rows would move your student towards “owl”",
        "| subject | verdict | expected transfer, logits | detectable |",
        "## Expected transfer under the plan",
        "## Can this screen be trusted here?",
        "## Evidence",
        "## What content filters see",
        "## What this cannot show",
        "`undertow scan data/train.jsonl --student world:owlet-a --seed 7`\n\n|",
    )
    places = [text.index(part) for part in wanted]

    assert places == sorted(places)


def test_bold_words_are_bold() -> None:
    """No space stands inside the marks, where Markdown would show them as stars."""
    rendered = PARSER.render(render(taught(), "markdown"))

    assert "<strong>Learnt of each row.</strong> Loss on the completion." in rendered
    assert "<strong>Columns that nothing reads.</strong> score" in rendered
    assert "**" not in rendered


@pytest.mark.parametrize("kind", ["markdown", "text", "html"])
def test_what_rows_say_openly_is_told(kind: str) -> None:
    """The conclusion has the sentence; the long pages count by place, beside the verdicts."""
    text = " ".join(render(taught(), kind).split())

    assert "this may be what they openly teach" in text
    if kind == "markdown":
        assert "| the whole file | owl | 4,096 | 212 | 200 | 20 | 3 |" in text
    if kind == "html":
        assert "say it in what is learnt" in text
