"""The page of a diff: what is drawn is on the scale of the limit, and evidence is folded."""

from __future__ import annotations

import pytest

from tests.golden.test_golden import KEPT
from tests.report.test_html import Page
from undertow.report import render
from undertow.report.diff_page import change_figure
from undertow.report.figure import Lanes
from undertow.results.model_documents import Change, DiffDocument
from undertow.results.store import read_result


def drawn(controls: tuple[float, ...], estimate: float) -> tuple[Lanes, list[float]]:
    """The figure of one trait, and where its tuned model, its zero and its interval's ends stand in it."""
    change = Change(
        trait="owl",
        category="animal",
        estimate=estimate,
        low=estimate - 0.1,
        high=estimate + 0.1,
        verdict="clear",
        base=0.1,
        tuned=(0.5,),
        controls=controls,
    )
    document = DiffDocument.model_construct(
        changes=(change,), controls=controls, limit=0.2, unit="logits"
    )
    figure = change_figure(document)
    assert figure is not None
    marks = figure.panels[0].lanes[0].marks
    (tuned,) = [mark.attributes for mark in marks if mark.attributes.get("class") == "t"]
    (zero,) = [mark.attributes for mark in marks if mark.attributes.get("class") == "zero"]
    (span,) = [mark.attributes for mark in marks if mark.attributes.get("class") == "span"]
    return figure, [
        float(str(place).removesuffix("%"))
        for place in (tuned["cx"], zero["x1"], span["x1"], span["x2"])
    ]


@pytest.mark.parametrize(
    ("controls", "estimate", "caption"),
    [
        ((), 0.4, "How far each trait moved from the base"),
        ((0.4, 0.6), 0.0, "How far each trait moved beyond the controls"),
    ],
)
def test_dots_interval_and_limit_are_on_one_scale(
    controls: tuple[float, ...], estimate: float, caption: str
) -> None:
    """The tuned model's dot is in the middle of its interval, as far from zero as the number beside it says."""
    figure, (tuned, zero, low, high) = drawn(controls, estimate)

    assert figure.caption == caption
    assert tuned == pytest.approx((low + high) / 2, abs=0.2)
    assert (tuned > zero + 1) is (estimate > 0)


@pytest.mark.parametrize("name", ["diff", "lineage"])
def test_evidence_is_folded(name: str) -> None:
    """Below the figure nothing is open before it is asked for, neither a section nor a table; of a lineage as well."""
    page = Page(render(read_result(KEPT / f"{name}.json"), "html"))

    assert page.named("figure")
    assert page.named("details")
    assert page.at_once == {"point", "headline"}


@pytest.mark.parametrize(
    "looked", ["not searched: too few controls", "9 tokens, against 19 controls"]
)
def test_what_was_not_searched_is_not_said_to_be_absent(looked: str) -> None:
    """Beside the figure “nothing was found” stands where something was looked for, and only there."""
    document = read_result(KEPT / "diff.json").model_copy(update={"searched": looked})
    text = Page(render(document, "html")).text

    assert ("nothing was found" in text) is (not looked.startswith("not searched"))
    assert looked.rpartition(": ")[2] in text
