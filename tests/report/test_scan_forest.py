"""The figure of a screen: what is drawn, where, and in which order."""

from __future__ import annotations

import pytest

from tests.report.scan_documents import HOSTILE, clear, flagged, nothing, rehearsed, sources
from undertow.report.scan_forest import PANELS, ROWS_EACH, by_severity, forest, in_order, transfers


def test_traits_are_sorted_by_their_transfer() -> None:
    """The largest first, all sixteen where there is one subject."""
    figure = forest(flagged())

    assert figure is not None
    assert [row.name for row in figure.panels[0].rows][:2] == ["owl", "eagle"]
    assert (len(figure.panels[0].rows), figure.panels[0].left_out) == (16, 0)


def test_positions_are_those_of_the_axis() -> None:
    """Zero, limit, estimates and intervals stand in the order of their numbers."""
    figure = forest(flagged())
    assert figure is not None
    owl = figure.panels[0].rows[0]

    assert owl.low is not None
    assert owl.at is not None
    assert 0 < figure.zero < figure.limit < owl.low < owl.at
    assert owl.at == figure.axis.at(1.80)


def test_the_whole_file_leads_and_the_worst_source_follows() -> None:
    """Six panels, six traits each; the others are counted."""
    figure = forest(sources())

    assert figure is not None
    assert [panel.result.subject for panel in figure.panels][:3] == ["all", HOSTILE, "vendor-b"]
    assert (len(figure.panels), figure.others) == (PANELS, 1)
    assert {(len(panel.rows), panel.left_out) for panel in figure.panels} == {(ROWS_EACH, 10)}


def test_severity_comes_before_transfer() -> None:
    """Flagged, error, undecided, skipped, not applicable, clear; equal ones by transfer."""
    ordered = [one.verdict for one in by_severity(sources().subjects)]

    assert ordered[:5] == ["flagged", "flagged", "error", "undecided", "skipped"]
    assert [one.subject for one in in_order(sources().subjects)][:2] == ["all", HOSTILE]


def test_one_wide_interval_does_not_shrink_the_others() -> None:
    """An interval far beyond all estimates is cut and marked as going on."""
    wide = [one.model_copy(update={"high": 1e6}) for one in rehearsed("all", {"owl": 0.5})[:1]]
    document = clear().model_copy(update={"measurements": tuple(wide)})
    figure = forest(document)
    assert figure is not None

    assert figure.axis.high < 5
    assert figure.panels[0].rows[0].open_high
    assert not figure.panels[0].rows[0].open_low


@pytest.mark.parametrize("end", [None, float("inf"), float("nan")])
def test_an_open_interval_reaches_the_edge(end: float | None) -> None:
    """A limit that is not finite is drawn to the end of the axis."""
    first, *others = rehearsed("all", {"owl": 0.5})
    document = clear().model_copy(
        update={"measurements": (first.model_copy(update={"high": end}), *others)}
    )
    figure = forest(document)
    assert figure is not None

    assert (figure.panels[0].rows[0].high, figure.panels[0].rows[0].open_high) == (100.0, True)


def test_an_estimate_that_is_none_is_last_and_not_drawn() -> None:
    """NaN sorts below every number."""
    first, *others = rehearsed("all", {"owl": float("nan")})
    document = clear().model_copy(update={"measurements": (first, *others)})

    assert transfers(document, "all")[-1].trait == "owl"
    figure = forest(document)
    assert figure is not None
    assert figure.panels[0].rows[-1].at is None


def test_without_transfer_there_is_no_figure() -> None:
    """Evidence alone draws nothing."""
    evidence = tuple(one for one in flagged().measurements if one.check != "rehearsal")

    assert forest(nothing()) is None
    assert forest(flagged().model_copy(update={"measurements": evidence})) is None
