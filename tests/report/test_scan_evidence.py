"""What the checks of kind evidence say, apart from any verdict."""

from __future__ import annotations

from tests.report.scan_documents import nothing, sources
from undertow.report.page import Section
from undertow.report.scan_evidence import FILTERS, evidence_of, evidence_sections


def test_content_filters_stand_apart() -> None:
    """Every check of kind evidence once, in the order of the run, the filters by themselves."""
    evidence = evidence_of(sources())

    assert [one.run.check for one in evidence] == [
        "likelihood-ratio",
        "author",
        "fingerprint",
        "teacher-coverage",
        "activations",
        FILTERS,
    ]
    sections: list[Section] = list(evidence_sections(sources(), evidence))
    assert [(one.id, len(one.blocks)) for one in sections] == [("evidence", 5), ("filters", 1)]


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


def test_without_checks_there_is_no_evidence() -> None:
    """Neither entries nor sections."""
    assert evidence_of(nothing()) == ()
    assert list(evidence_sections(nothing(), ())) == []
