"""The figure of a run's arms."""

from __future__ import annotations

from undertow.report.figure import Lane, Lanes
from undertow.report.run_arms import dot_figure, measure_of, summaries
from undertow.results.run_document import RunDocument


def headline(document: RunDocument) -> Lanes:
    """The figure of the document's arms."""
    measure = measure_of(document)
    assert measure is not None
    return dot_figure(summaries(document, measure), measure, document.chance)


def places(lane: Lane, style: str, attribute: str) -> list[float]:
    """Where the marks of this style are drawn."""
    marks = [mark.attributes for mark in lane.marks if mark.attributes["class"] == style]
    return [float(str(mark[attribute]).rstrip("%")) for mark in marks]


def test_every_run_is_a_dot(owl: RunDocument) -> None:
    """Four arms of four runs, each inside the plot."""
    dots = [x for lane in headline(owl).panels[0].lanes for x in places(lane, "dot", "cx")]

    assert len(dots) == 16
    assert all(0 <= x <= 100 for x in dots)


def test_close_runs_do_not_cover_one_another(owl: RunDocument) -> None:
    """Dots that are near on the axis are on different levels."""
    control = headline(owl).panels[0].lanes[1]
    dots = places(control, "dot", "cx")

    assert max(dots) - min(dots) < 2
    assert len(set(places(control, "dot", "cy"))) == 4


def test_chance_and_mean_lie_where_the_axis_says(owl: RunDocument) -> None:
    """On an axis from 0 to 80 %, 45 % is at 56.25 and one in 16 at 7.81."""
    figure = headline(owl)

    (panel,) = figure.panels
    ends = (panel.ticks[0].label, panel.ticks[-1].label)

    assert ends == ("0\N{NO-BREAK SPACE}%", "80\N{NO-BREAK SPACE}%")
    assert places(panel.lanes[0], "mean", "x1") == [56.25]
    assert places(panel.lanes[0], "chance", "x1") == [7.81]
    assert figure.legend.endswith("chance, 1 in 16")
