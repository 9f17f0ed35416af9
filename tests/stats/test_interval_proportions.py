"""Intervals of proportions: against statsmodels, exact coverage, properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from undertow.stats import Interval, clopper_pearson, wilson

Method = Callable[[int, int, float], Interval]
both = pytest.mark.parametrize(
    ("method", "name"), [(clopper_pearson, "beta"), (wilson, "wilson")], ids=["beta", "wilson"]
)


@both
@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (3, 500), (1, 1)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_agrees_with_statsmodels(method: Method, name: str, k: int, n: int, level: float):
    """An independent implementation gives the same limits."""
    interval = method(k, n, level)
    expected = proportion_confint(k, n, alpha=1 - level, method=name)

    assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-9)
    assert (interval.estimate, interval.n) == (k / n, n)


def test_rule_of_three():
    """No event in n: the upper 95 % limit is 1 - .025^(1/n)."""
    assert clopper_pearson(0, 20).high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_clopper_pearson_never_covers_less_than_its_level():
    """Exact coverage, summed over the binomial distribution, for shares from rare to even."""
    n = 25
    intervals = [clopper_pearson(k, n, 0.9) for k in range(n + 1)]
    for share in np.linspace(0.004, 0.996, 125):
        covered = [i.low <= share <= i.high for i in intervals]

        assert binom.pmf(np.arange(n + 1), n, share)[covered].sum() >= 0.9


def test_wilson_covers_its_level_on_average():
    """Mean exact coverage over shares is near the level."""
    n = 25
    intervals = [wilson(k, n, 0.9) for k in range(n + 1)]
    cover = [
        binom.pmf(np.arange(n + 1), n, share)[[i.low <= share <= i.high for i in intervals]].sum()
        for share in np.linspace(0.004, 0.996, 125)
    ]

    assert np.mean(cover) == pytest.approx(0.9, abs=0.02)


@both
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_mirror_bounds_and_level(method: Method, name: str, data: st.DataObject):
    """Successes and failures mirror, limits stay in [0, 1], a stricter level widens."""
    n = data.draw(st.integers(1, 200), name)
    k = data.draw(st.integers(0, n))
    interval, mirror, strict = method(k, n, 0.9), method(n - k, n, 0.9), method(k, n, 0.99)

    assert interval.low == pytest.approx(1 - mirror.high, abs=1e-9)
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    assert strict.width > interval.width


@both
@pytest.mark.parametrize(
    ("k", "n", "level", "message"),
    [
        (5, 4, 0.95, "k must be at most n, got 5 of 4"),
        (-1, 4, 0.95, "k must be a whole number of at least 0, got -1"),
        (0, 0, 0.95, "n must be a whole number of at least 1, got 0"),
        (1, 4, 95.0, r"level must lie in \(0, 1\), got 95.0"),
    ],
)
def test_refuses_what_it_cannot_use(
    method: Method, name: str, k: int, n: int, level: float, message: str
):
    """The message says the value."""
    with pytest.raises(ValueError, match=message):
        method(k, n, level)
