"""Adjusted p-values: against statsmodels, properties, error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from undertow.stats import holm

pvalue = st.floats(0, 1).map(lambda p: round(p, 2))
pvalues = st.lists(pvalue, min_size=1, max_size=12)


@settings(max_examples=10, deadline=None)  # statsmodels collects garbage at every call
@given(values=st.lists(pvalue, min_size=4, max_size=30))
def test_agrees_with_statsmodels(values: list[float]):
    """An independent implementation adjusts alike, ties and zeros included."""
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1], abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(values=pvalues, seed=st.integers(0, 1000))
def test_keeps_order_and_bounds(values: list[float], seed: int):
    """Adjusting commutes with reordering, never lowers a p, and stays within 1."""
    order = np.random.default_rng(seed).permutation(len(values))
    adjusted = holm(values)

    assert holm(list(np.array(values)[order])) == pytest.approx(adjusted[order])
    assert np.all(adjusted >= np.array(values) - 1e-15)
    assert adjusted.max() <= 1


def test_holm_bounds_any_false_rejection():
    """Ten true nulls: at least one adjusted p <= .05 in at most 5 % of families."""
    rng = np.random.default_rng(1)
    alarms = [holm(family).min() <= 0.05 for family in rng.random((4000, 10))]

    assert np.mean(alarms) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "pvalues needs at least 1"),
        ([0.1, 1.2], r"pvalues must lie in \[0, 1\], got 1.2"),
        ([-0.1], "got -0.1"),
        ([math.nan], "pvalues must be finite, got nan at 0"),
    ],
)
def test_refuses_what_it_cannot_use(values: list[float], message: str):
    """The message says the value."""
    with pytest.raises(ValueError, match=message):
        holm(values)
