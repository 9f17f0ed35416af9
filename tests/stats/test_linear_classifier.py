"""The cross-validated classifier: known answers, its level under the null, and an independent logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from undertow.stats import auroc
from undertow.stats.linear_classifier import told_apart
from undertow.stats.two_sample import Samples

BOTH = pytest.mark.parametrize("matched", [True, False])


def test_what_a_feature_names_is_told_apart() -> None:
    """AUROC 1 with the least p; features without any spread change nothing."""
    rng = np.random.default_rng(0)
    samples = Samples(30, 20, False)
    features = np.column_stack([np.repeat([1.0, 0.0], [30, 20]), np.ones(50)])
    found = told_apart(features, samples, samples.rearranged(99, rng), rng, 0.95)

    assert (found.auroc.estimate, found.p) == (1, 0.01)


def test_features_without_any_spread_tell_nothing() -> None:
    """AUROC one half, p 1: every rearrangement ties."""
    rng = np.random.default_rng(0)
    samples = Samples(20, 20, True)
    found = told_apart(np.ones((40, 2)), samples, samples.rearranged(19, rng), rng, 0.95)

    assert (found.auroc.estimate, found.p, found.chance) == (0.5, 1, 0.5)


def test_agrees_with_logistic_regression() -> None:
    """scikit-learn's, cross-validated, has nearly the same AUROC, inside the interval."""
    rng = np.random.default_rng(1)
    samples = Samples(300, 300, False)
    labels = np.repeat([1, 0], 300)
    features = rng.normal(0, 1, (600, 5)) + labels[:, None] * np.array([0.5, 0.3, 0, 0, 0])
    scores = cross_val_predict(LogisticRegression(), features, labels, method="decision_function")
    expected = auroc(scores[:300], scores[300:])
    found = told_apart(features, samples, samples.rearranged(99, rng), rng, 0.95)

    assert found.auroc.estimate == pytest.approx(expected, abs=0.02)
    assert found.auroc.low < expected < found.auroc.high


@BOTH
def test_nothing_is_told_apart_under_the_null(matched: bool) -> None:
    """200 null draws: rejections at .1 within a binomial interval, and the 90 % interval holds one half as often as it says."""
    rng = np.random.default_rng(2)
    samples, repetitions = Samples(40, 40, matched), 200
    rejected = missed = 0
    for _ in range(repetitions):
        prompts = rng.normal(0, 1, (80, 3))
        if matched:
            prompts[40:] = prompts[:40]
        features = prompts + rng.normal(0, 1, (80, 3))
        found = told_apart(features, samples, samples.rearranged(99, rng), rng, 0.9)
        rejected += found.p <= 0.1
        missed += not found.auroc.low <= 0.5 <= found.auroc.high

    low, high = binom.interval(0.999, repetitions, 0.1)
    assert low <= rejected <= high
    assert missed <= high


VALUES = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(VALUES, VALUES)
def test_it_counts_pairs_ties_half(high: list[int], low: list[int]) -> None:
    """Equal to the count over all pairs, and to scikit-learn's area."""
    pairs = np.mean([(a > b) + 0.5 * (a == b) for a in high for b in low])
    labels = [1] * len(high) + [0] * len(low)

    assert auroc(high, low) == pytest.approx(pairs)
    assert auroc(high, low) == pytest.approx(roc_auc_score(labels, high + low))


@given(VALUES, VALUES)
def test_it_is_antisymmetric(high: list[int], low: list[int]) -> None:
    """Exchanging the two samples mirrors it at one half."""
    assert auroc(high, low) + auroc(low, high) == pytest.approx(1)


def test_equal_samples_give_one_half() -> None:
    """A constant score, as of a filter that matches nothing, is chance."""
    assert auroc([0, 0, 0], [0, 0]) == 0.5
