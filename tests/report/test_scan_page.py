"""Which sections a screen's page has, and what leads it, by what its verdicts rest on."""

from __future__ import annotations

import re

import pytest

from tests.report import former_scan_documents as former
from tests.report.scan_documents import SCANS, clear, nothing, sources, stands_out
from undertow.report.page import Section
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
def test_the_point_is_a_sentence_a_step_and_a_certainty(kind: str) -> None:
    """Whatever the verdict, none of the three is missing, and the sentence needs no number but steps."""
    point = scan_page(SCANS[kind]()).point

    assert point is not None
    assert re.fullmatch(r"[^[]+\.", point.verdict)
    assert all((point.todo, point.command, point.sure[0], point.facts))


def test_a_badge_takes_a_style_of_one_word() -> None:
    """`stands out` would be two classes of CSS."""
    badge = scan_page(stands_out()).badge

    assert badge is not None
    assert (badge.text, badge.tone) == ("stands out", "stands-out")
