"""What content filters could tell, and the judge's error, stand in every format."""

from __future__ import annotations

import pytest

from undertow.report import render
from undertow.results.arm_kinds import arm_words
from undertow.results.run_document import FilterScore, JudgeRecord, RunDocument

SCORE = FilterScore(
    content_filter="classifier",
    dataset="trait-owl",
    control="neutral-owl",
    replicate=0,
    auroc=0.512,
    bag_aurocs={"8": 0.634},
    removed=0.11,
    false_alarms=0.1,
)
JUDGE = JudgeRecord(
    name="<judge>",
    labelled=40,
    discarded=2,
    sensitivity=0.9,
    sensitivity_low=0.8,
    sensitivity_high=0.95,
    specificity=0.7,
    specificity_low=0.6,
    specificity_high=0.8,
)


@pytest.fixture
def scored(owl: RunDocument) -> RunDocument:
    """A run with a content filter and a judge."""
    return owl.model_copy(update={"filters": (SCORE,), "judge": JUDGE})


@pytest.mark.parametrize("form", ["text", "html", "markdown"])
def test_both_tables_are_shown(scored: RunDocument, form: str) -> None:
    """The AUROC of a row and of a bag, and how many misaligned rows the judge finds."""
    page = render(scored, form)

    assert "0.512" in page
    assert "0.634" in page
    assert "90.0" in page


def test_a_judges_name_is_escaped(scored: RunDocument) -> None:
    """Names come from outside; a page shows them as text."""
    assert "<judge>" not in render(scored, "html")


@pytest.mark.parametrize("form", ["text", "html", "markdown"])
def test_a_run_without_them_has_no_empty_tables(owl: RunDocument, form: str) -> None:
    """No heading without numbers."""
    assert "Content filters" not in render(owl, form)


def test_arms_of_several_carriers_and_hops_are_named() -> None:
    """The carrier leads the arm's name; a hop has its number."""
    labels = [
        arm_words(arm, "owl").label for arm in ("chain_of_thought: trait", "hop-3", "hop-3-control")
    ]

    assert labels == ["Chain of thought: same initialisation", "Hop 3", "Hop 3"]
