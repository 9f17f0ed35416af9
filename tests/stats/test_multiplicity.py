"""Adjusted p-values, one by one and step-down: against statsmodels, properties, error rates."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from undertow.stats import holm, two_sample_permutation
from undertow.stats.multiplicity import EXACT_SPLITS, step_down

pvalue = st.floats(0, 1).map(lambda p: round(p, 2))
pvalues = st.lists(pvalue, min_size=1, max_size=12)


@pytest.mark.long
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


def difference(treated: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Size of the difference of means."""
    return np.abs(treated.mean(0) - control.mean(0))


def by_loops(treated: np.ndarray, control: np.ndarray) -> list[float]:
    """The same from the definition: for each item, the share of splits whose maximum over weaker items reaches it."""
    runs = np.vstack([treated, control])
    observed = difference(treated, control)
    order = sorted(range(observed.size), key=lambda i: -observed[i])
    result, floor = [0.0] * observed.size, 0.0
    for place, item in enumerate(order):
        hits, splits = 0, list(itertools.combinations(range(len(runs)), len(treated)))
        for first in splits:
            rest = [i for i in range(len(runs)) if i not in first]
            found = difference(runs[list(first)], runs[rest])
            hits += max(found[j] for j in order[place:]) >= observed[item] - 1e-9
        floor = max(floor, hits / len(splits))
        result[item] = floor
    return result


@pytest.mark.parametrize("sizes", [(3, 3), (2, 4), (4, 2)])
def test_agrees_with_a_plain_loop(sizes: tuple[int, int]) -> None:
    """All splits, each item against the maximum of those not stronger than itself."""
    rng = np.random.default_rng(4)
    treated, control = rng.normal(size=(sizes[0], 7)), rng.normal(size=(sizes[1], 7))
    treated[:, 2] += 3

    assert step_down(difference, treated, control, rng).tolist() == pytest.approx(
        by_loops(treated, control)
    )


def test_one_item_gives_the_permutation_test() -> None:
    """Without other items nothing is corrected."""
    rng = np.random.default_rng(0)
    treated, control = rng.normal(size=(4, 1)) + 1, rng.normal(size=(4, 1))

    assert step_down(difference, treated, control, rng)[0] == pytest.approx(
        two_sample_permutation(treated[:, 0], control[:, 0]).p
    )


def test_a_clear_shift_has_the_least_p_of_the_design() -> None:
    """4 v 4 runs: 2 of 70 splits, the observed one and its mirror image."""
    rng = np.random.default_rng(1)
    treated, control = rng.normal(size=(4, 50)), rng.normal(size=(4, 50))
    treated[:, 9] += 40

    assert step_down(difference, treated, control, rng)[9] == pytest.approx(2 / 70)


def test_many_runs_draw_splits_from_the_generator() -> None:
    """The observed split counts, so p is never 0; the same seed gives the same p."""
    treated, control = np.random.default_rng(1).normal(size=(2, 9, 5))
    treated[:, 0] += 10
    found = [step_down(difference, treated, control, np.random.default_rng(4)) for _ in range(2)]

    assert found[0].tolist() == found[1].tolist()
    assert found[0][0] == pytest.approx(1 / EXACT_SPLITS)


def test_false_rejections_stay_at_the_exact_rate() -> None:
    """Heavy-tailed items bound by a common factor: p <= .05 in 2 of 70 searches, the rate of the design."""
    rng = np.random.default_rng(5)
    alarms = []
    for _ in range(400):
        values = rng.standard_t(2, size=(8, 20)) + 2 * rng.standard_t(2, size=(8, 1))
        alarms.append(step_down(difference, values[:4], values[4:], rng).min() <= 0.05)

    assert np.mean(alarms) == pytest.approx(2 / 70, abs=0.02)
