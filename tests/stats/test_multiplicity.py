"""Adjusted p-values: against statsmodels, properties, error rates."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from undertow.stats import benjamini_hochberg, holm

Method = Callable[[list[float]], np.ndarray]
both = pytest.mark.parametrize(
    ("method", "name"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")], ids=["holm", "bh"]
)
pvalue = st.floats(0, 1).map(lambda p: round(p, 2))
pvalues = st.lists(pvalue, min_size=1, max_size=12)


@both
@settings(max_examples=10, deadline=None)  # statsmodels collects garbage at every call
@given(values=st.lists(pvalue, min_size=4, max_size=30))
def test_agrees_with_statsmodels(method: Method, name: str, values: list[float]):
    """An independent implementation adjusts alike, ties and zeros included."""
    assert method(values) == pytest.approx(multipletests(values, method=name)[1], abs=1e-12)


@both
@settings(max_examples=40, deadline=None)
@given(values=pvalues, seed=st.integers(0, 1000))
def test_keeps_order_and_bounds(method: Method, name: str, values: list[float], seed: int):
    """Adjusting commutes with reordering, never lowers a p, and stays within 1."""
    order = np.random.default_rng(seed).permutation(len(values))
    adjusted = method(values)

    assert method(list(np.array(values)[order])) == pytest.approx(adjusted[order])
    assert np.all(adjusted >= np.array(values) - 1e-15)
    assert adjusted.max() <= 1


def test_holm_bounds_any_false_rejection():
    """Ten true nulls: at least one adjusted p <= .05 in at most 5 % of families."""
    rng = np.random.default_rng(1)
    alarms = [holm(family).min() <= 0.05 for family in rng.random((4000, 10))]

    assert np.mean(alarms) == pytest.approx(0.05, abs=0.015)


def test_benjamini_hochberg_bounds_the_share_of_false_findings():
    """Half true nulls: the mean share of false findings is q times one half."""
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(3000):
        values = np.concatenate([rng.random(10), rng.beta(0.1, 20.0, 10)])
        found = benjamini_hochberg(values) <= 0.2
        shares.append(found[:10].sum() / max(found.sum(), 1))

    assert np.mean(shares) == pytest.approx(0.1, abs=0.015)


@both
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "pvalues needs at least 1"),
        ([0.1, 1.2], r"pvalues must lie in \[0, 1\], got 1.2"),
        ([-0.1], "got -0.1"),
        ([math.nan], "pvalues must be finite, got nan at 0"),
    ],
)
def test_refuses_what_it_cannot_use(method: Method, name: str, values: list[float], message: str):
    """The message says the value."""
    with pytest.raises(ValueError, match=message):
        method(values)
