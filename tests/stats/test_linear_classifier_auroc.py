"""The AUROC is the share of pairs in the right order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from undertow.stats import auroc

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
