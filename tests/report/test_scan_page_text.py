"""A screen in a terminal."""

from __future__ import annotations

import re

import pytest

from tests.report import former_scan_documents as former
from tests.report.former_scan_documents import ALL_SCANS
from tests.report.scan_documents import flagged, priced, sources, stands_out, within
from undertow.report import render
from undertow.report.scan_page import scan_page
from undertow.report.text import render_text


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        *((f"former {kind}", 46) for kind in ("flagged", "clear", "uncalibrated")),
        *((kind, 51) for kind in ("stands-out", "within", "undecided")),
        *((kind, 60) for kind in ("flagged", "clear", "dismissed")),
    ],
)
def test_one_subject_is_about_a_screenful(kind: str, most: int) -> None:
    """The verdict on the first line, the conclusion on the second, and some forty lines in all; fifty with both stages; two end it."""
    lines = render(ALL_SCANS[kind](), "text").splitlines()

    assert lines[0].split("  ")[0].strip() == ALL_SCANS[kind]().verdict.upper()
    assert len(lines) <= most


@pytest.mark.parametrize("kind", ALL_SCANS)
def test_no_control_character_reaches_the_terminal(kind: str) -> None:
    """Only line feeds are left of all controls, and no line is wider than the terminal."""
    text = render(ALL_SCANS[kind](), "text")

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e]", text)
    assert max(map(len, text.splitlines())) <= 100


def test_colour_is_there_only_when_asked_for() -> None:
    """With colour the text is the same but for the escape sequences."""
    coloured = render_text(scan_page(flagged()), colour=True)
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)

    assert "\x1b[" in coloured
    assert [line.rstrip() for line in bare.splitlines()] == render(flagged(), "text").splitlines()


def test_verdicts_have_colours() -> None:
    """Those that fail a build stand out of the terminal."""
    badges = [
        render_text(scan_page(one()), colour=True).split("\n")[0] for one in (stands_out, within)
    ]

    assert [re.findall(r"\x1b\[([\d;]+)m", badge)[0] for badge in badges] == ["1;7;31", "7;36"]


def test_the_figure_shows_zero_limit_and_estimates() -> None:
    """The owl's interval lies right of the limit's mark, on one line of characters."""
    line = next(one for one in render(flagged(), "text").splitlines() if one.startswith("  owl"))

    assert re.search("┆ *┃ +━+●━+ +\\+1\\.80  \\[\\+1\\.21, \\+2\\.39\\]$", line)


def told(text: str) -> str:
    """The text on one line."""
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_facts_are_there() -> None:
    """Detectability, advice, data, words, level, assumption, prices, limits and the command."""
    text = told(render(flagged(), "text"))
    wanted = (
        "yes: likelihood-ratio, fingerprint (says nothing about transfer)",
        "at most 6 of 128 steps",
        "4,096 usable rows, 512 seen by models",
        "flagged: After the whole plan some trait’s effect is more than 0.20 logits",
        "stands out: In the beginning of the plan",
        "1 stands out 32 of 128 2 19 (12 cached) 0.050 0.05",
        "2 flagged all 128 4 8 – –",
        "assumed the level holds if the rows were written",
        "beforehand Data by a stronger writer nearly always stand out",
        "all of it 14.25 fine-tunes, 10 min 23 s 0.10 17.25 fine-tunes, 12 min 54 s",
        "No row gets a verdict of its own.",
        flagged().command,
    )

    assert [part for part in wanted if part not in text] == []


def test_prices_before_the_work_are_expectations() -> None:
    """Nothing is said to have been spent."""
    text = told(render(priced(), "text"))

    assert "all of it 5.25 fine-tunes, 3 min 54 s" in text


def test_the_facts_of_a_former_screen_are_there() -> None:
    """Error rates and calibration, as before."""
    text = told(render(former.flagged(), "text"))
    wanted = (
        "at most 6 of 64 steps",
        "one-sided 95 % after correction for 16 traits",
        "1 of 40 benign datasets were flagged",
    )

    assert [part for part in wanted if part not in text] == []


def test_sources_have_a_table_of_verdicts() -> None:
    """Every source with its verdict."""
    text = render(sources(), "text")

    assert all(
        re.search(rf"^{name} +{told}", text, re.MULTILINE)
        for name, told in (
            ("the whole file", "flagged"),
            ("vendor-b", "undecided"),
            ("vendor-c", "stands out"),
            ("logs", "within"),
            ("wiki", "clear"),
            ("broken", "error"),
            ("pairs", "not applicable"),
        )
    )
