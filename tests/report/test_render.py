"""One door to all formats."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest

from tests.report import former_scan_documents as former
from tests.report.former_scan_documents import ALL_SCANS
from tests.report.scan_documents import clear, flagged
from undertow.errors import UnknownNameError
from undertow.report import FORMATS, SCAN_FORMATS, render
from undertow.results.run_document import RunDocument
from undertow.results.scan_document import AnyScan, ScanDocument

KINDS = ("owl", "matrix", "traits", "digits", "theorem", "empty")
OPTIONAL = ("arms", "comparisons", "teachers", "datasets", "notes", "matrices", "curves", "limits")
NUMBERS = ("probability", "logit_margin", "answer_mass", "held_out_loss", "accuracy")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_in_every_format(
    request: pytest.FixtureRequest, kind: str, format: str
) -> None:
    """The verdict is in all of them, and the bytes depend on the document alone."""
    document: RunDocument = request.getfixturevalue(kind)
    first = render(document, format)

    assert document.conclusion[:20] in first
    assert render(document, format) == first
    assert first.endswith("\n")


@pytest.mark.parametrize(("kind", "format"), list(product(ALL_SCANS, SCAN_FORMATS)))
def test_every_kind_of_screen_in_every_format(kind: str, format: str) -> None:
    """The same of screens."""
    document = ALL_SCANS[kind]()
    first = render(document, format)

    assert document.verdict in first.lower()
    assert render(document, format) == first
    assert first.endswith("\n")


@pytest.mark.parametrize("format", SCAN_FORMATS)
@pytest.mark.parametrize(
    "part", ["subjects", "measurements", "checks", "moved", "limits", "traits", "prices"]
)
def test_any_part_of_a_screen_may_be_missing(part: str, format: str) -> None:
    """A screen without one of its parts renders."""
    assert render(flagged().model_copy(update={part: ()}), format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("part", OPTIONAL)
def test_any_part_may_be_missing(owl: RunDocument, format: str, part: str) -> None:
    """A document without one of its parts renders."""
    assert render(owl.model_copy(update={part: ()}), format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_any_number_may_be_missing(
    owl: RunDocument, format: str, number: str, value: float | None
) -> None:
    """Runs without a number, or with one that cannot be drawn, render."""
    arms = tuple(arm.model_copy(update={number: value}) for arm in owl.arms)

    assert render(owl.model_copy(update={"arms": arms}), format)


@pytest.mark.parametrize("format", SCAN_FORMATS)
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -1e300])
@pytest.mark.parametrize(
    ("document", "dose"),
    [(flagged(), "largest_safe_dose"), (former.flagged(), "smallest_dose")],
    ids=["2", "1"],
)
def test_any_number_of_a_screen_may_be_missing(
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


@pytest.mark.parametrize("format", FORMATS)
def test_a_single_run_renders(owl: RunDocument, format: str) -> None:
    """One student, no base, no interval."""
    assert render(owl.model_copy(update={"arms": owl.arms[:1]}), format)


@pytest.mark.parametrize("format", ["html", "markdown", "text"])
def test_a_ragged_matrix_renders(traits: RunDocument, format: str) -> None:
    """More rows than names, empty matrices and numbers that are none do not stop a report."""
    matrix = traits.matrices[0]
    nan = tuple(tuple(float("nan") for _ in row) for row in matrix.values)
    odd = (
        matrix.model_copy(update={"rows": matrix.rows[:3]}),
        matrix.model_copy(update={"rows": (), "columns": (), "values": ()}),
        matrix.model_copy(update={"values": nan, "low": ((None,),), "high": ((0.1,),)}),
    )

    assert render(traits.model_copy(update={"matrices": odd}), format)


def test_json_is_the_stored_document(owl: RunDocument) -> None:
    """Nothing is added or lost."""
    assert RunDocument.model_validate_json(render(owl, "json")) == owl
    assert ScanDocument.model_validate_json(render(clear(), "json")) == clear()


def test_an_unknown_format_is_refused(owl: RunDocument) -> None:
    """The error names the formats."""
    with pytest.raises(UnknownNameError, match="html, json, markdown, text"):
        render(owl, "htm")
    with pytest.raises(UnknownNameError, match="html, json, markdown, sarif, text"):
        render(clear(), "pdf")


def test_importing_the_room_is_cheap() -> None:
    """jinja2 and rich are loaded only by the renderer that needs them."""
    script = (
        "import sys, undertow.report; "
        "sys.exit(bool({'jinja2', 'rich', 'torch'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
