"""A screen in a terminal."""

from __future__ import annotations

import re

import pytest

from tests.report.scan_documents import SCANS, flagged, sources
from undertow.report import render
from undertow.report.scan_page import scan_page
from undertow.report.text import render_text


@pytest.mark.parametrize("kind", ["flagged", "clear", "uncalibrated"])
def test_one_subject_is_about_a_screenful(kind: str) -> None:
    """The verdict on the first line, the conclusion on the second, and some forty lines in all."""
    lines = render(SCANS[kind](), "text").splitlines()

    assert lines[0].split()[0] == SCANS[kind]().verdict.upper()
    assert len(lines) <= 44


@pytest.mark.parametrize("kind", SCANS)
def test_no_control_character_reaches_the_terminal(kind: str) -> None:
    """Only line feeds are left of all controls, and no line is wider than the terminal."""
    text = render(SCANS[kind](), "text")

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e]", text)
    assert max(map(len, text.splitlines())) <= 100


def test_colour_is_there_only_when_asked_for() -> None:
    """With colour the text is the same but for the escape sequences."""
    coloured = render_text(scan_page(flagged()), colour=True)
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)

    assert "\x1b[" in coloured
    assert [line.rstrip() for line in bare.splitlines()] == render(flagged(), "text").splitlines()


def test_the_figure_shows_zero_limit_and_estimates() -> None:
    """The owl's interval lies right of the limit's mark, on one line of characters."""
    line = next(one for one in render(flagged(), "text").splitlines() if one.startswith("  owl"))

    assert re.search("┆ *┃ +━+●━+ +\\+1\\.80  \\[\\+1\\.21, \\+2\\.39\\]$", line)


def test_the_facts_are_there() -> None:
    """Detectability, advice, data, error rates, calibration, limits and the command."""
    text = " ".join(render(flagged(), "text").replace("\N{NO-BREAK SPACE}", " ").split())
    wanted = (
        "yes: likelihood-ratio, fingerprint (says nothing about transfer)",
        "at most 6 of 64 steps",
        "4,096 usable rows, 512 seen by models",
        "one-sided 95 % after correction for 16 traits",
        "1 of 40 benign datasets were flagged",
        "No row gets a verdict of its own.",
        flagged().command,
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
            ("broken", "error"),
            ("pairs", "not applicable"),
        )
    )
