"""What every format shows of a screen."""

from __future__ import annotations

from tests.report.scan_documents import nothing, sources
from undertow.report.scan_page import scan_page


def test_content_filters_stand_apart() -> None:
    """Every check of kind evidence once, in the order of the run, the filters by themselves."""
    page = scan_page(sources())

    assert [one.run.check for one in page.evidence] == [
        "likelihood-ratio",
        "author",
        "fingerprint",
        "teacher-coverage",
        "activations",
    ]
    assert [one.run.check for one in page.filters] == ["content"]


def test_the_ending_is_in_words() -> None:
    """Detected, nothing detected, or why nothing was looked at."""
    endings = [one.ending for one in scan_page(sources()).evidence]

    assert endings == ["detected", "nothing detected", "detected", "not applicable", "error"]


def test_what_was_detected_comes_first() -> None:
    """Among the measurements of a check."""
    table = scan_page(sources()).evidence[0].table
    column = [row[table.columns.index("speaks against")] for row in table.rows]

    assert column[:2] == ["yes", "no"]


def test_an_empty_screen_has_an_empty_page() -> None:
    """No figure, no evidence."""
    page = scan_page(nothing())

    assert (page.forest, page.evidence, page.filters) == (None, (), ())
