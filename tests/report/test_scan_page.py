"""What every format shows of a screen."""

from __future__ import annotations

from tests.report.scan_documents import nothing, sources
from undertow.report.page import Section
from undertow.report.scan_page import FILTERS, evidence_of, scan_page


def test_content_filters_stand_apart() -> None:
    """Every check of kind evidence once, in the order of the run, the filters by themselves."""
    checks = [one.run.check for one in evidence_of(sources())]

    assert checks == [
        "likelihood-ratio",
        "author",
        "fingerprint",
        "teacher-coverage",
        "activations",
        FILTERS,
    ]
    page = scan_page(sources())
    assert [one.id for one in page.sections if isinstance(one, Section)][3:5] == [
        "evidence",
        "filters",
    ]


def test_the_ending_is_in_words() -> None:
    """Detected, nothing detected, or why nothing was looked at."""
    endings = [one.ending for one in evidence_of(sources())]

    assert endings == [
        "detected",
        "nothing detected",
        "detected",
        "not applicable",
        "error",
        "nothing detected",
    ]


def test_what_was_detected_comes_first() -> None:
    """Among the measurements of a check."""
    table = evidence_of(sources())[0].table
    column = [row[table.columns.index("speaks against")] for row in table.rows]

    assert column[:2] == ["yes", "no"]


def test_an_empty_screen_has_an_empty_page() -> None:
    """No figure, no evidence."""
    page = scan_page(nothing())

    assert page.lead.figure is None
    assert evidence_of(nothing()) == ()
