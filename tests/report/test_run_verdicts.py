"""Verdicts on a run's rows stand beside what the students of just these rows answer, in every format."""

from __future__ import annotations

import pytest

from tests.report import former_scan_documents as former
from tests.report.scan_documents import HOSTILE, flagged, stands_out, within
from undertow.report import render
from undertow.report.run_verdicts import TITLE, brief_verdicts, scanned_rows, verdicts_section
from undertow.results.run_document import RunDocument
from undertow.results.scan_document import AnyScan

PAGES = ("html", "markdown", "text")


def of_rows(scan: AnyScan, name: str, student: str = "world:owlet-a") -> AnyScan:
    """The scan as it would be of a run's dataset."""
    data = scan.data.model_copy(update={"path": f"runs/owl/data/{name}/rows.parquet"})
    command = f"undertow scan {data.path} --student {student}"
    return scan.model_copy(update={"data": data, "student": student, "command": command})


@pytest.fixture
def run(owl: RunDocument) -> RunDocument:
    """The owl run, whose control's students know their dataset by its digest."""
    digests = {
        f"neutral-{arm.replicate}": arm.data_digest for arm in owl.arms if arm.arm == "control"
    }
    datasets = [
        one.model_copy(update={"digest": digests.get(one.name, one.digest)}) for one in owl.datasets
    ]
    return owl.model_copy(update={"datasets": tuple(datasets)})


@pytest.fixture
def scans() -> tuple[AnyScan, ...]:
    """Of the control's rows and of the trait's, as their folders are sorted."""
    return of_rows(within(), "neutral-0"), of_rows(stands_out(), "owl-0")


def test_each_verdict_stands_beside_the_student_of_these_rows(
    run: RunDocument, scans: tuple[AnyScan, ...]
) -> None:
    """The student is that of the scan's base and replicate, not the arm's mean; the trait's rows come first."""
    rows = scanned_rows(run, scans)

    assert [row.scan.verdict for row in rows] == ["stands out", "within"]
    assert [row.student for row in rows] == [0.31, 0.061]
    assert [row.label for row in rows] == ["The owl teacher’s rows", "A neutral teacher’s rows"]


def test_what_a_student_moved_is_its_margin_over_its_untrained_base(
    run: RunDocument, scans: tuple[AnyScan, ...]
) -> None:
    """In logits, of the same base."""
    first = scanned_rows(run, scans)[0]
    student = next(arm for arm in run.arms if (arm.arm, arm.replicate) == ("trait", 0))

    assert first.moved == pytest.approx((student.logit_margin or 0) - 0.03)
    assert first.untrained == 0.064


def test_a_student_of_another_base_or_of_logits_is_none_of_these_rows(run: RunDocument) -> None:
    """The scan's base is what its verdict is about, and a student of logits learnt other things than the rows."""
    foreign = scanned_rows(run, [of_rows(stands_out(), "owl-0", "world:owlet-b")])
    arms = [
        arm.model_copy(update={"arm": "carrier-logits"}) if arm.arm == "trait" else arm
        for arm in run.arms
    ]
    logits = run.model_copy(update={"arms": tuple(arms)})

    assert foreign[0].student == 0.059
    assert scanned_rows(logits, [of_rows(stands_out(), "owl-0")])[0].student is None


@pytest.mark.parametrize("form", PAGES)
def test_every_page_holds_verdicts_answers_and_commands(
    run: RunDocument, scans: tuple[AnyScan, ...], form: str
) -> None:
    """What was said before training, what came of it, and what a user would type."""
    page = " ".join(render(run, form, scans=scans).replace("&#45;", "-").split())

    told = (TITLE, "stands out", "within", "31.0", "--student world:owlet-a")
    assert [words for words in told if words not in page.replace("\N{NO-BREAK SPACE}", " ")] == []
    assert page.count("undertow scan runs/owl/data/") == 2


@pytest.mark.parametrize("form", PAGES)
def test_a_run_without_scans_says_nothing_of_them(run: RunDocument, form: str) -> None:
    """`undertow run` makes none."""
    assert TITLE not in render(run, form)


def test_the_json_of_a_run_holds_no_scan(run: RunDocument, scans: tuple[AnyScan, ...]) -> None:
    """Its published schema does not know them."""
    assert render(run, "json", scans=scans) == render(run, "json")


def test_only_an_alarm_names_a_trait(run: RunDocument, scans: tuple[AnyScan, ...]) -> None:
    """The largest effect of rows that lie within is chance's, and would be read as a find."""
    assert [row.towards for row in scanned_rows(run, scans)] == ["owl", "–"]
    assert scanned_rows(run, [of_rows(flagged(), "owl-0")])[0].towards == "owl"


@pytest.mark.parametrize(
    ("form", "shown"), [("html", "&lt;script"), ("markdown", "\\<script"), ("text", "<script")]
)
def test_a_scan_of_other_rows_is_shown_and_escaped(run: RunDocument, form: str, shown: str) -> None:
    """It has no student; its path cannot act in the page or in a terminal."""
    page = render(run, form, scans=[of_rows(stands_out(), HOSTILE)])

    assert shown in page
    assert form != "html" or "<script>alert" not in page
    assert not any(character in page for character in ("\u202e", "\x1b"))


def test_a_former_scan_is_shown_with_its_own_words(run: RunDocument) -> None:
    """Its verdict was an expectation, without a stage and without a price."""
    scan = of_rows(former.flagged(), "owl-0")
    (section,) = verdicts_section(run, [scan])
    table = brief_verdicts(run, [scan])

    assert section.title == TITLE
    assert table.rows[0][:2] == ("The owl teacher’s rows", "flagged")


def test_a_run_that_measures_nothing_still_shows_verdicts(empty: RunDocument) -> None:
    """No number of a student is missed; the rows go by their path."""
    table = brief_verdicts(empty, [of_rows(within(), "owl-0")])

    assert table.columns == ("rows", "the scan")
    assert table.rows == (("runs/owl/data/owl-0/rows.parquet", "within"),)


def test_a_budget_is_told_where_there_was_one(run: RunDocument) -> None:
    """A scan without one took the whole beginning."""
    assert "Without --budget" in render(run, "text", scans=[of_rows(stands_out(), "owl-0")])
    assert "Without --budget" not in render(run, "text", scans=[of_rows(within(), "neutral-0")])
