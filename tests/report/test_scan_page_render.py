"""One door to all formats of a screen."""

from __future__ import annotations

import pytest

from tests.report import former_scan_documents as former
from tests.report.former_scan_documents import ALL_SCANS
from tests.report.scan_documents import clear, flagged
from undertow.errors import UnknownNameError
from undertow.report import SCAN_FORMATS, render
from undertow.results.scan_document import AnyScan, ScanDocument


@pytest.mark.parametrize("format", SCAN_FORMATS)
@pytest.mark.parametrize("kind", ALL_SCANS)
def test_every_kind_of_screen_in_every_format(kind: str, format: str) -> None:
    """The verdict is in all of them, and the bytes depend on the document alone."""
    document = ALL_SCANS[kind]()
    first = render(document, format)

    assert document.verdict in first.lower()
    assert render(document, format) == first
    assert first.endswith("\n")


@pytest.mark.parametrize("format", SCAN_FORMATS)
@pytest.mark.parametrize(
    "part", ["subjects", "measurements", "checks", "moved", "limits", "traits", "prices"]
)
def test_any_part_may_be_missing(part: str, format: str) -> None:
    """A document without one of its parts renders."""
    assert render(flagged().model_copy(update={part: ()}), format)


@pytest.mark.parametrize("format", SCAN_FORMATS)
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -1e300])
@pytest.mark.parametrize(
    ("document", "dose"),
    [(flagged(), "largest_safe_dose"), (former.flagged(), "smallest_dose")],
    ids=["2", "1"],
)
def test_any_number_may_be_missing(
    document: AnyScan, dose: str, value: float | None, format: str
) -> None:
    """Estimates and limits that are none, or that cannot be drawn, render."""
    odd = dict.fromkeys(("estimate", "low", "high", "p", "limit", "level"), value)
    told = dict.fromkeys(("transfer", "low", "high", dose), value)
    changed = document.model_copy(
        update={
            "measurements": tuple(one.model_copy(update=odd) for one in document.measurements),
            "subjects": tuple(one.model_copy(update=told) for one in document.subjects),
        }
    )

    assert render(changed, format)


@pytest.mark.parametrize("format", SCAN_FORMATS)
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -1e300])
def test_any_number_of_a_stage_or_a_price_may_be_missing(value: float | None, format: str) -> None:
    """Whatever p, level, bound, time or GPU-hours are, the page renders."""
    document = flagged()
    odd = dict.fromkeys(("p", "adjusted", "guaranteed", "excluded"), value)
    (told,) = document.subjects
    stages = tuple(stage.model_copy(update=odd) for stage in told.comparisons)
    times = dict.fromkeys(("seconds", "gpu_hours"), value)
    changed = document.model_copy(
        update={
            "subjects": (told.model_copy(update={"comparisons": stages}),),
            "prices": tuple(one.model_copy(update=times) for one in document.prices),
            "budget": value,
        }
    )

    assert render(changed, format)


def test_json_is_the_stored_document() -> None:
    """Nothing is added or lost."""
    assert ScanDocument.model_validate_json(render(clear(), "json")) == clear()


def test_an_unknown_format_is_refused() -> None:
    """The error names the formats of a screen."""
    with pytest.raises(UnknownNameError, match="html, json, markdown, sarif, text"):
        render(clear(), "pdf")
