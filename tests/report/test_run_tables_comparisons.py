"""What a page says above its comparisons: the unit, what the tests take for granted, and how many there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from undertow.report import render, run_tables
from undertow.results.run_document import RunDocument


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
