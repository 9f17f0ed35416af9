"""Which sections a screen's page has, and what leads it, by what its verdicts rest on."""

from __future__ import annotations

import pytest

from tests.report import former_scan_documents as former
from tests.report.scan_documents import SCANS, clear, nothing, sources, stands_out
from undertow.report.page import Questions, Section
from undertow.report.scan_page import scan_page
from undertow.results.scan_document import AnyScan

GROUNDS = {"stages", "references", "prices"}


def sections(document: AnyScan) -> list[str]:
    """The ids of the page's sections."""
    return [one.id for one in scan_page(document).sections if isinstance(one, Section)]


def test_the_versions_differ_in_their_grounds_alone() -> None:
    """A scan/2 has stages, references and prices where a scan/1 has its calibration."""
    now, before = sections(clear()), sections(former.clear())

    assert set(now) >= GROUNDS
    assert [one for one in now if one not in GROUNDS] == [
        one for one in before if one != "calibration"
    ]
    assert now.index("stages") == before.index("calibration")


def test_evidence_and_filters_follow_the_grounds() -> None:
    """What can be detected stands behind what was judged."""
    ids = sections(sources())

    assert ids[ids.index("prices") + 1 :][:2] == ["evidence", "filters"]


def test_an_empty_screen_has_an_empty_page() -> None:
    """No figure, no stages, no prices."""
    page = scan_page(nothing())

    assert page.lead.figure is None
    assert not GROUNDS & set(sections(nothing()))


@pytest.mark.parametrize("kind", SCANS)
def test_the_verdicts_word_is_defined_before_anything_else(kind: str) -> None:
    """The first question beside the figure is what the word in the badge means."""
    page = scan_page(SCANS[kind]())
    (questions,) = page.lead.beside

    assert page.badge is not None
    assert isinstance(questions, Questions)
    assert questions.entries[0][0] == f"What does “{page.badge.text}” mean?"


def test_a_badge_takes_a_style_of_one_word() -> None:
    """`stands out` would be two classes of CSS."""
    badge = scan_page(stands_out()).badge

    assert badge is not None
    assert (badge.text, badge.tone) == ("stands out", "stands-out")
