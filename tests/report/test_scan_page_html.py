"""The page of a screen: its structure, its safety, its drawing in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.report import former_scan_documents as former
from tests.report.former_scan_documents import ALL_SCANS
from tests.report.scan_documents import flagged, nothing, sources, stands_out
from tests.report.test_html import Page
from tests.report.test_html_chromium import BROWSER, WIDTHS, visit
from undertow.report import render
from undertow.results.scan_document import AnyScan


@pytest.fixture(params=ALL_SCANS)
def document(request: pytest.FixtureRequest) -> AnyScan:
    """Each kind of screen in turn."""
    return ALL_SCANS[request.param]()


def in_this_order(document: AnyScan, wanted: tuple[str, ...]) -> bool:
    """Whether the page holds the parts, one behind the other."""
    text = Page(render(document, "html")).text
    body = text[text.index("undertow scan") :]
    places = [body.index(part) for part in wanted]
    return places == sorted(places)


def test_the_verdict_comes_first() -> None:
    """Badge, sentence, numbers, step, certainty, cost, figure; then verdicts, stages, references, prices, evidence."""
    assert in_this_order(
        stands_out(),
        (
            "stands out",
            "These rows move your student as benign rows do not, towards “owl” most.",
            "After 32 of 128 steps these rows move your student towards “owl” by +0.62 logits",
            "What to do",
            "--require clear",
            "How sure",
            "At most 5 of 100 benign datasets stand out on average over draws of references; beside these 19",
            "Taken for granted: the rows were written to these prompts",
            "4,096 rows read, models saw 512 · cost: 1 min 11 s, as much as 2.25 planned trainings",
            "Effect beside the references, after 32 of 128 steps",
            "In the beginning of the plan the rows move the student as benign references hardly ever do",
            "How it was judged",
            "To be known beforehand.",
            "The scan might spend at most 2.50 fine-tunes (--budget).",
            "Each check in its own unit.",
            "What content filters see",
            "No row gets a verdict of its own.",
            "How to reproduce it",
        ),
    )


def test_a_former_screen_is_shown_as_it_was() -> None:
    """Expected transfer, one-sided levels and the calibration stand where they stood."""
    assert in_this_order(
        former.flagged(),
        (
            "flagged",
            "These rows would move your student towards “owl” by +1.80 logits",
            "Expected transfer under the plan",
            "beyond the limit, 0.20",
            "one-sided 95\N{NO-BREAK SPACE}% after correction for 16 traits",
            "Can this screen be trusted here?",
            "This is a scan/1",
            "Each check in its own unit.",
            "What content filters see",
            "What else moved in the trial runs",
            "No row gets a verdict of its own.",
            "How to reproduce it",
        ),
    )


def test_evidence_is_folded(document: AnyScan) -> None:
    """Below the figure nothing is open before it is asked for, neither a section nor a table of many rows."""
    page = Page(render(document, "html"))

    assert page.named("details")
    assert {"point"} <= page.at_once <= {"point", "headline"}


def test_every_trait_is_drawn_once_a_panel() -> None:
    """Sixteen rows alone; six panels of six among sources; the limit in those of the whole plan."""
    for made, rows, limits in (
        (flagged(), 16, 16),
        (sources(), 36, 12),
        (former.sources(), 36, 36),
    ):
        classes = [found.get("class") for _, found in Page(render(made, "html")).elements]
        assert classes.count("span") == rows
        assert classes.count("limit") == classes.count("zone") == limits


def test_a_missing_table_is_told_with_the_command() -> None:
    """Undecided, why, and what to type."""
    text = Page(render(former.uncalibrated(), "html")).text

    assert "its verdicts stay undecided" in text
    assert "undertow calibrate --student org/base" in text


def test_an_empty_screen_is_a_page() -> None:
    """Without subjects there are neither verdicts nor evidence."""
    page = Page(render(nothing(), "html"))

    assert not page.ids & {"verdicts", "stages", "prices", "evidence", "filters"}
    assert "No row is usable." in page.text


@pytest.mark.chromium
@pytest.mark.skipif(BROWSER is None, reason="neither chromium nor google-chrome is on PATH")
def test_the_browser_is_content(tmp_path: Path) -> None:
    """At the width of a desk and of a telephone no page scrolls sideways, complains or asks for anything."""
    frames = ""
    for kind, made in ALL_SCANS.items():
        name = kind.replace(" ", "-")
        (tmp_path / f"{name}.html").write_text(render(made(), "html"), encoding="utf-8")
        frames += "".join(
            f"<iframe src={name}.html width={width} height=900></iframe>" for width in WIDTHS
        )
    measure = (
        "onload = () => { widths.textContent = [...document.querySelectorAll('iframe')]"
        ".map(one => one.contentDocument.documentElement.scrollWidth).join(' ') }"
    )
    index = tmp_path / "index.html"
    index.write_text(f"<p id=widths></p>{frames}<script>{measure}</script>", encoding="utf-8")
    seen = visit(index, "--dump-dom")
    found = re.search('<p id="widths">([^<]*)</p>', seen.output)

    assert found is not None
    assert found[1].split() == [str(width) for _ in ALL_SCANS for width in WIDTHS]
    assert seen.complaints == seen.requests == []
