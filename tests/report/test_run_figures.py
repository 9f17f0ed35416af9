"""Geometry of the plots."""

from __future__ import annotations

import math

import pytest

from undertow.report.figure import Heat, Plot
from undertow.report.page import Drawing
from undertow.report.run_figures import heat_cells, line_plot, shift_panels, whiskers
from undertow.report.run_page import run_page
from undertow.report.run_tables import curves_table, estimate, limits, null_value
from undertow.results.run_document import Curves, RunDocument, Series


def ends(whisker: Drawing) -> dict[str, float]:
    """Where a whisker is drawn, in percent of its axis."""
    null, span, *_, dot = (mark.attributes for mark in whisker.marks)
    places = {"null": null["x1"], "low": span["x1"], "high": span["x2"], "at": dot["cx"]}
    return {name: float(str(place).rstrip("%")) for name, place in places.items()}


def test_whiskers_share_an_axis_within_a_unit(owl: RunDocument) -> None:
    """Zero is in the middle, and the larger of two effects of one unit is further right."""
    first, second, _ = map(ends, whiskers(owl.comparisons))

    assert first["low"] < first["at"] < first["high"]
    assert first["at"] > second["at"] > first["null"] == 50
    assert second["high"] - second["low"] < first["high"] - first["low"]


def test_a_limit_that_is_not_there_is_open(owl: RunDocument) -> None:
    """The whisker reaches the end of its axis and is marked as open."""
    one = owl.comparisons[0].model_copy(update={"low": None, "high": math.inf})
    (drawing,) = whiskers([one])
    span = ends(drawing)

    assert (span["low"], span["high"]) == (0.0, 100.0)
    assert [mark.text for mark in drawing.marks if mark.tag == "text"] == ["◂", "▸"]


def test_the_answer_that_moved_is_first_in_both_panels(owl: RunDocument) -> None:
    """Candidates are sorted by the change in the first panel, and the second keeps the order."""
    same, other = shift_panels(owl)

    assert same.shifts[0].candidate == "owl"
    assert same.shifts[0].is_trait
    assert [one.candidate for one in same.shifts] == [one.candidate for one in other.shifts]


def test_heat_is_strongest_at_the_largest_number(traits: RunDocument) -> None:
    """The colour grows with the distance from zero, and the diagonal is marked."""
    cells = heat_cells(traits.matrices[0])
    strengths = [cell.strength for row in cells for cell in row]

    assert max(strengths) == 0.6
    assert [row.index(max(row, key=lambda cell: cell.strength)) for row in cells] == list(range(16))
    assert all(
        cell.matching == (at == down)
        for down, row in enumerate(cells)
        for at, cell in enumerate(row)
    )


def test_a_line_leaves_out_what_cannot_be_drawn() -> None:
    """NaN on any axis, and zero on a logarithmic one, are no points."""
    series = Series(name="a", x=(0.0, 1.0, 10.0, 100.0), y=(1.0, math.nan, 2.0, 3.0))
    curves = Curves(name="c", caption="c", x_label="x", y_label="y", series=(series,), log_x=True)

    assert len(line_plot(curves, curves_table(curves)).lines[0].points) == 2


def test_numbers_of_a_matrix_are_written_alike(digits: RunDocument, traits: RunDocument) -> None:
    """Shares in percent; small positive numbers with three digits; signs where there are any."""
    shares, divergences = (heat_cells(matrix) for matrix in digits.matrices)

    assert shares[0][0].value == "7.0\N{NO-BREAK SPACE}%"
    assert [cell.value for cell in divergences[0]] == ["0.0001", "0.0021", "0.102"]
    assert all(cell.value[0] in "+−0" for row in heat_cells(traits.matrices[0]) for cell in row)


def test_a_share_is_compared_with_a_half(digits: RunDocument) -> None:
    """Where a coin is the null, no effect is one half, and the share has no sign."""
    span = ends(whiskers(digits.comparisons)[1])

    assert null_value(digits.comparisons[1]) == 0.5
    assert span["at"] > span["low"] > span["null"] == 50
    assert estimate(digits.comparisons[1]) == "90.0\N{NO-BREAK SPACE}%"


def test_a_difference_of_shares_has_a_sign(digits: RunDocument) -> None:
    """In percent, since its unit says of what."""
    low, high = "+45.0\N{NO-BREAK SPACE}%", "+65.0\N{NO-BREAK SPACE}%"

    assert estimate(digits.comparisons[0]) == "+55.0\N{NO-BREAK SPACE}%"
    assert limits(digits.comparisons[0]).endswith(f"[{low}, {high}]")


def test_a_design_without_an_interval_says_so(owl: RunDocument) -> None:
    """Two open ends are no interval."""
    one = owl.comparisons[0].model_copy(update={"low": None, "high": None})

    assert limits(one) == "no finite 95\N{NO-BREAK SPACE}% interval"


def test_points_have_whiskers_and_are_hollow_where_nothing_holds() -> None:
    """The axis reaches the intervals' ends, zero is drawn, and a point without limits has no whisker."""
    series = Series(
        name="prompted",
        x=(0.1, 0.2, 0.4),
        y=(0.0, 1.0, 2.0),
        low=(-1.0, 0.5, None),
        high=(1.0, 1.5, None),
        holds=(False, True, True),
    )
    curves = Curves(name="c", caption="", x_label="", y_label="", series=(series,), log_x=True)
    plot = line_plot(curves, curves_table(curves).shown())
    (line,) = plot.lines

    assert line.hollow == {0}
    assert [round(down - up, 6) for _, up, down in line.spans] == [
        pytest.approx(2 * plot.y.at(2.0) - 2 * plot.y.at(1.0), abs=0.02),
        pytest.approx(plot.y.at(2.0) - plot.y.at(1.0), abs=0.02),
    ]
    assert plot.zero == line.points[0][1]
    assert "hollow" in plot.remark


def test_lines_without_intervals_are_drawn_as_they_were() -> None:
    """No whisker, no hollow point, no remark."""
    curves = Curves(
        name="c",
        caption="",
        x_label="",
        y_label="",
        series=(Series(name="s", x=(1.0, 2.0), y=(1.0, 2.0)),),
    )
    plot = line_plot(curves, curves_table(curves).shown())

    assert (plot.zero, plot.remark, plot.lines[0].spans, plot.lines[0].hollow) == (
        None,
        "",
        (),
        frozenset(),
    )


def test_curves_with_intervals_lead_a_crowded_page(traits: RunDocument) -> None:
    """Before a matrix, which leads where curves have none."""
    line = Series(name="s", x=(1.0, 2.0), y=(1.0, 2.0))
    tested = line.model_copy(update={"low": (0.5, 1.5), "high": (1.5, 2.5)})
    curves = Curves(name="c", caption="", x_label="", y_label="", series=(line,))
    plain = traits.model_copy(update={"curves": (curves,)})
    shown = traits.model_copy(update={"curves": (curves.model_copy(update={"series": (tested,)}),)})

    assert isinstance(run_page(plain).lead.figure, Heat)
    assert isinstance(run_page(shown).lead.figure, Plot)
