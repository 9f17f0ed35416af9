"""What a page says above its comparisons, and the tables of content filters and judges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from undertow.report import render, run_tables
from undertow.results.arm_kinds import arm_words
from undertow.results.run_document import FilterScore, JudgeRecord, RunDocument


@pytest.mark.parametrize("form", ["text", "html", "markdown"])
def test_comparisons_stand_each_by_itself_and_it_is_said(owl: RunDocument, form: str) -> None:
    """The number of comparisons, and what a permutation takes for granted, in every format."""
    said = " ".join(render(owl, form).split())

    assert f"corrected for the number of comparisons ({len(owl.comparisons)})" in said
    assert "takes the runs of two arms for exchangeable" in said


def test_a_sign_flip_alone_is_not_told_of_permutations(owl: RunDocument) -> None:
    """Nor is a single comparison told of several."""
    one = owl.comparisons[0].model_copy(update={"n": "6 pairs"})

    assert run_tables.about_comparisons([one]).endswith("each with its own seed.")
    shared = run_tables.about_comparisons([one], common_streams=True)
    assert shared.endswith("the teacher is all that differs; replicates share nothing.")


@pytest.mark.parametrize(("ratio", "share"), [(1, 2 / 70), (2, 0.037), (4, 0.06)])
def test_arms_that_differ_in_spread_err_as_is_said(ratio: float, share: float) -> None:
    """How often 4 normal runs against 4 reach the least p, within three errors of 20,000 draws."""
    splits = [list(first) for first in itertools.combinations(range(8), 4)]
    signs = np.full((70, 8), -0.25)
    for row, first in zip(signs, splits, strict=True):
        row[first] = 0.25
    runs = np.random.default_rng(1).normal(size=(20_000, 8)) * np.repeat([ratio, 1], 4)
    sizes = np.abs(runs @ signs.T)
    least = (sizes >= sizes[:, :1] - 1e-12).mean(1) <= 2 / 70 + 1e-12

    assert least.mean() == pytest.approx(share, abs=3 * (share / 20_000) ** 0.5)


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
