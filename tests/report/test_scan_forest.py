"""The figure of a screen: what is drawn, where, and in which order."""

from __future__ import annotations

import pytest

from tests.report import former_scan_documents as former
from tests.report.scan_documents import (
    HOSTILE,
    clear,
    flagged,
    nothing,
    rehearsed,
    sources,
    stands_out,
    within,
)
from undertow.report.figure import Lane
from undertow.report.page import Name, Strong, inlines
from undertow.report.scan_forest import (
    PANELS,
    ROWS_EACH,
    by_severity,
    forest,
    in_order,
    stages,
    transfers,
)


def place(lane: Lane, style: str, attribute: str) -> float:
    """Where a mark of this style is drawn, in percent of the axis."""
    (mark,) = (mark for mark in lane.marks if mark.attributes["class"] == style)
    return float(str(mark.attributes[attribute]).rstrip("%"))


def arrows(lane: Lane) -> list[str]:
    """The signs of ends beyond the axis."""
    return [mark.text for mark in lane.marks if mark.tag == "text"]


def test_traits_are_sorted_by_their_transfer() -> None:
    """The largest first, all sixteen where there is one subject."""
    figure = forest(flagged())

    assert figure is not None
    assert [lane.who for lane in figure.panels[0].lanes][:2] == [Name("owl"), Name("eagle")]
    assert (len(figure.panels[0].lanes), figure.panels[0].left_out) == (16, 0)


def test_positions_are_those_of_the_axis() -> None:
    """Zero, limit, estimates and intervals stand in the order of their numbers."""
    figure = forest(flagged())
    assert figure is not None
    owl = figure.panels[0].lanes[0]
    ticks = {float(tick.label.replace("−", "-")): tick.at for tick in figure.panels[0].ticks}
    wanted = ticks[1] + 0.80 * (ticks[2] - ticks[1])

    zero, limit, low, at = (
        place(owl, style, name)
        for style, name in (("zero", "x1"), ("limit", "x1"), ("span", "x1"), ("estimate", "cx"))
    )
    assert 0 < zero < limit < low < at
    assert at == pytest.approx(wanted, abs=0.02)


def test_the_whole_file_leads_and_the_worst_source_follows() -> None:
    """Six panels, six traits each; the others are counted."""
    figure = forest(sources())

    assert figure is not None
    assert [inlines(panel.title)[0] for panel in figure.panels][:3] == [
        Name("the whole file"),
        Name(HOSTILE),
        Name("vendor-c"),
    ]
    assert (len(figure.panels), figure.rest) == (PANELS, "1 more in the table below.")
    assert {(len(panel.lanes), panel.left_out) for panel in figure.panels} == {(ROWS_EACH, 10)}


def marks(lane: Lane) -> list[str]:
    """The styles of what is drawn."""
    return [str(mark.attributes["class"]) for mark in lane.marks]


def test_the_limit_is_drawn_for_the_whole_plan_alone() -> None:
    """Before the plan's end it would be compared with what it is not about; a scan/1 spoke of the whole plan."""
    whole, before, beginning = (forest(one()) for one in (flagged, former.flagged, stands_out))
    assert whole is not None
    assert before is not None
    assert beginning is not None

    assert "limit" in marks(whole.panels[0].lanes[0])
    assert "limit" in marks(before.panels[0].lanes[0])
    assert not {"limit", "zone", "excluded"} & set(marks(beginning.panels[0].lanes[0]))


def test_what_is_excluded_is_drawn() -> None:
    """Of `within`, at its place on the axis."""
    figure = forest(within())
    assert figure is not None
    lane = figure.panels[0].lanes[0]

    assert place(lane, "zero", "x1") < place(lane, "excluded", "x1") < 100
    pointer = figure.panels[0].pointers[-1]
    assert (pointer.opening, pointer.text) == ("excluded above ", "+0.31 →")
    assert "┃ excluded beyond" in figure.legend


def test_the_last_stage_is_drawn_and_both_are_in_the_numbers() -> None:
    """The verdict rests on it; its caption says how much of the plan it trained."""
    figure = forest(flagged())
    assert figure is not None

    assert figure.caption == "Effect beside the references, after all 128 steps"
    assert figure.panels[0].lanes[0].value == Strong("+1.80")
    assert [one.name for one in stages(flagged(), "all")] == ["stage 2"] * 16 + ["stage 1"] * 16


def test_the_first_trait_has_the_colour_of_its_verdict() -> None:
    """A rank is over all traits at once, so that no measurement has a verdict of its own."""
    figure = forest(stands_out())
    assert figure is not None

    assert [one.style for one in figure.panels[0].lanes[:2]] == ["stands-out lead-row", "none"]


def test_severity_comes_before_transfer() -> None:
    """Flagged, stands out, error, undecided, skipped, not applicable, within, clear; equal ones by transfer."""
    ordered = [one.verdict for one in by_severity(sources().subjects)]

    assert ordered[:6] == ["flagged", "flagged", "stands out", "error", "undecided", "skipped"]
    assert ordered[-3:] == ["within", "within", "clear"]
    assert [one.subject for one in in_order(sources().subjects)][:2] == ["all", HOSTILE]


def test_one_wide_interval_does_not_shrink_the_others() -> None:
    """An interval far beyond all estimates is cut and marked as going on."""
    wide = [one.model_copy(update={"high": 1e6}) for one in rehearsed("all", {"owl": 0.5})[:1]]
    document = clear().model_copy(update={"measurements": tuple(wide)})
    figure = forest(document)
    assert figure is not None

    assert float(figure.panels[0].ticks[-1].label) < 5
    assert arrows(figure.panels[0].lanes[0]) == ["▸"]


@pytest.mark.parametrize("end", [None, float("inf"), float("nan")])
def test_an_open_interval_reaches_the_edge(end: float | None) -> None:
    """A limit that is not finite is drawn to the end of the axis."""
    first, *others = rehearsed("all", {"owl": 0.5})
    document = clear().model_copy(
        update={"measurements": (first.model_copy(update={"high": end}), *others)}
    )
    figure = forest(document)
    assert figure is not None

    owl = figure.panels[0].lanes[0]
    assert (place(owl, "span", "x2"), arrows(owl)) == (100.0, ["▸"])


def test_an_estimate_that_is_none_is_last_and_not_drawn() -> None:
    """NaN sorts below every number."""
    first, *others = rehearsed("all", {"owl": float("nan")})
    document = clear().model_copy(update={"measurements": (first, *others)})

    assert transfers(document, "all")[-1].trait == "owl"
    figure = forest(document)
    assert figure is not None
    assert "estimate" not in [mark.attributes["class"] for mark in figure.panels[0].lanes[-1].marks]


def test_without_transfer_there_is_no_figure() -> None:
    """Evidence alone draws nothing."""
    evidence = tuple(one for one in flagged().measurements if one.unit not in ("logits", "rank"))

    assert forest(nothing()) is None
    assert forest(flagged().model_copy(update={"measurements": evidence})) is None
