"""Arms side by side; the figure of a run's arms."""

from __future__ import annotations

import pytest

from undertow.report.figure import Lane, Lanes
from undertow.report.run_arms import dot_figure, known_arms, mean_interval, measure_of, summaries
from undertow.results.arm_kinds import arm_words
from undertow.results.measurement import FormatReading, ProbeChoice
from undertow.results.run_document import RunDocument


def seldom_answered(mass: float) -> ProbeChoice:
    """The plain question's choice on a base that answers it with a candidate so often."""
    read = FormatReading(name="question", mass=mass)
    return ProbeChoice(
        base="b", category="animal", used="question", usable=True, enough=0.5, least=0.05, formats=(read,), sentence=""
    )  # fmt: skip


def test_the_mean_and_interval_of_known_runs() -> None:
    """Student's t with 3 degrees of freedom: 3.18245 standard errors each way."""
    low, high = mean_interval([1.0, 2.0, 3.0, 4.0], share=False) or (0.0, 0.0)
    half = 3.182446 * (5 / 3 / 4) ** 0.5

    assert low == pytest.approx(2.5 - half, abs=1e-5)
    assert high == pytest.approx(2.5 + half, abs=1e-5)


def test_the_interval_of_a_share_stays_between_0_and_1() -> None:
    """No bar is drawn where no probability can be."""
    assert mean_interval([0.0, 0.9, 0.95], share=True) == (0.0, 1.0)


def test_one_run_has_no_interval() -> None:
    """A single run says nothing about the spread."""
    assert mean_interval([0.4], share=True) is None


def test_arms_come_in_the_order_of_the_document_without_the_bases(owl: RunDocument) -> None:
    """Trained students are shown; the untrained base of each arm is a reference line."""
    measure = measure_of(owl)
    assert measure is not None
    arms = summaries(owl, measure)

    assert [arm.label for arm in arms[::2]] == ["Same initialisation", "Other initialisation"]
    assert arms[0].mean == pytest.approx(0.45)
    assert [arm.untrained for arm in arms] == [0.064, 0.064, 0.061, 0.061]


@pytest.mark.parametrize(
    ("kind", "field"), [("owl", "probability"), ("digits", "accuracy"), ("theorem", None)]
)
def test_the_number_that_is_compared(
    request: pytest.FixtureRequest, kind: str, field: str | None
) -> None:
    """Probability where there is one, else accuracy, else nothing."""
    measure = measure_of(request.getfixturevalue(kind))

    assert (measure.field if measure else None) == field


def test_margins_are_compared_where_a_base_seldom_answers(owl: RunDocument) -> None:
    """As its probabilities are all next to nothing."""
    margins = owl.model_copy(update={"probes": (seldom_answered(0.01),)})
    shares = owl.model_copy(update={"probes": (seldom_answered(0.6),)})

    assert [m.field for m in map(measure_of, (margins, shares)) if m] == ["logit_margin", "probability"]  # fmt: skip


def test_arms_of_several_traits_are_not_mixed(owl: RunDocument) -> None:
    """Runs of two traits under one arm's name are two rows."""
    both = (*owl.arms, *(arm.model_copy(update={"trait": "cat"}) for arm in owl.arms))
    document = owl.model_copy(update={"arms": both})
    measure = measure_of(document)
    assert measure is not None

    assert len(summaries(document, measure)) == 8
    assert "cat" in summaries(document, measure)[4].detail


def test_an_unknown_arm_keeps_its_name() -> None:
    """Nothing is claimed of an arm that is not known."""
    assert arm_words("half-dose", "owl").label == "half-dose"
    assert arm_words("half-dose", "owl").detail == ""


def test_networks_that_are_their_own_base_are_the_untrained_ones(digits: RunDocument) -> None:
    """They give the reference lines; students come before the teacher."""
    measure = measure_of(digits)
    assert measure is not None
    arms = summaries(digits, measure)

    assert [arm.arm for arm in arms] == ["same-init", "foreign-init", "all-logits", "teacher"]
    assert arms[0].untrained == pytest.approx(0.082)
    assert arms[1].untrained == pytest.approx(0.098)


def test_the_arms_are_explained(owl: RunDocument) -> None:
    """The names in the table of runs are put into words; an arm that is not known is not."""
    words = known_arms(owl)

    assert words["trait"] == "same initialisation, the owl teacher’s rows"
    assert words["foreign-control"] == "other initialisation, a neutral teacher’s rows"


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
