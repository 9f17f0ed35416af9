"""Differences of shares: published examples, independent implementations, exact error rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep

from undertow.stats.interval import fisher, mcnemar, newcombe, newcombe_paired, share_difference


@pytest.mark.parametrize(
    ("k", "n", "hits", "of"), [(56, 70, 48, 80), (0, 10, 0, 20), (5, 56, 0, 29)]
)
def test_agrees_with_statsmodels(k: int, n: int, hits: int, of: int) -> None:
    """Another implementation of Newcombe's interval gives the same limits."""
    expected = confint_proportions_2indep(k, n, hits, of, compare="diff", method="newcomb")
    found = newcombe(k, n, hits, of)

    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)


def test_pairs_that_agree_make_the_interval_narrower() -> None:
    """Correlated pairs beat independent samples of the same shares; without discordant pairs the estimate is 0."""
    paired, independent = newcombe_paired(40, 6, 2, 52), newcombe(46, 100, 42, 100)

    assert paired.estimate == pytest.approx(independent.estimate)
    assert paired.width < independent.width
    assert newcombe_paired(5, 0, 0, 95).estimate == 0


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (9, 2), (4, 4)])
def test_mcnemar_agrees_with_statsmodels(first: int, second: int) -> None:
    """The exact p of another implementation."""
    if first + second:
        expected = statsmodels_mcnemar([[0, first], [second, 0]], exact=True).pvalue
    else:
        expected = 1.0

    assert mcnemar(first, second) == pytest.approx(expected)


def test_fisher_never_errs_more_often_than_it_says() -> None:
    """Its exact error rate over two binomials, at .05, for shares from rare to even."""
    n = 15
    ps = np.array([[fisher(k, n, hits, n) for hits in range(n + 1)] for k in range(n + 1)])
    for share in (0.01, 0.1, 0.3, 0.5):
        weights = binom.pmf(np.arange(n + 1), n, share)

        assert (weights[:, None] * weights[None])[ps <= 0.05].sum() <= 0.05


def test_rows_are_told_apart_from_pairs() -> None:
    """The same hits: matched rows are tested by the pairs that disagree, others by Fisher."""
    one, other = np.repeat([True, False], [8, 32]), np.repeat([True, False], [2, 38])
    paired, p_paired = share_difference(one, other, matched=True, level=0.95)
    apart, p_apart = share_difference(one, other, matched=False, level=0.95)

    assert paired.estimate == apart.estimate == pytest.approx(0.15)
    assert p_paired == mcnemar(6, 0)
    assert p_apart == fisher(8, 40, 2, 40)


def test_sides_must_hold_rows() -> None:
    """An empty side, or matched sides that are not equally many, are named."""
    with pytest.raises(ValueError, match="both sides need rows, got 0 and 3"):
        share_difference(np.zeros(0, bool), np.zeros(3, bool), matched=False, level=0.95)
    with pytest.raises(ValueError, match="equally many, got 2 and 3"):
        share_difference(np.zeros(2, bool), np.zeros(3, bool), matched=True, level=0.95)
