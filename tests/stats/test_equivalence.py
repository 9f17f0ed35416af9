"""Equivalence to none: verdicts, agreement of p and interval, and its error rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.stats import (
    Interval,
    equivalence,
    sign_flip,
    sign_flip_equivalence,
    two_sample_equivalence,
    two_sample_permutation,
)

numbers = st.floats(-10, 10, allow_subnormal=False).map(lambda value: round(value, 2))


@pytest.mark.parametrize(
    ("low", "high", "verdict", "sentence"),
    [
        (
            -0.1,
            0.2,
            "equivalent",
            "equivalent to none: the 90 % interval [-0.1, 0.2] lies within ±0.25 logits",
        ),
        (
            0.3,
            0.5,
            "different",
            "different: the 90 % interval [0.3, 0.5] lies wholly outside ±0.25 logits",
        ),
        (
            -0.3,
            0.1,
            "undecided",
            "undecided: the 90 % interval [-0.3, 0.1] reaches across ±0.25 logits",
        ),
        (
            -math.inf,
            math.inf,
            "undecided",
            "undecided: 6 runs give no finite 90 % interval",
        ),
    ],
)
def test_verdict_in_words(low: float, high: float, verdict: str, sentence: str):
    """All inside, all outside, neither, and no limits at all."""
    middle = (low + high) / 2 if math.isfinite(low) else 0.0
    result = equivalence(Interval(middle, low, high, 0.9, 6), 0.25, unit="logits")

    assert (result.verdict, result.sentence) == (verdict, sentence)
    assert result.alpha == pytest.approx(0.05)


def test_a_limit_on_the_margin_is_not_inside():
    """The boundary belongs to the hypothesis of a difference."""
    assert equivalence(Interval(0.0, -0.1, 0.2, 0.9, 8), 0.2).verdict == "undecided"


def test_known_answer_of_four_against_four():
    """Only one split of 70 lies as far below the margin: p = 1 / 70 for a wide margin."""
    result = two_sample_equivalence([1, 2, 3, 4], [1.5, 2.5, 3.5, 4.5], 100.0)

    assert result.p == pytest.approx(1 / 70)
    assert result.verdict == "equivalent"


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=4, max_size=4), st.lists(numbers, min_size=4, max_size=4))
def test_equal_arms_give_the_interval_of_the_two_sided_test(
    treated: list[float], control: list[float]
):
    """With equal arms two one-sided tests at .05 are the two-sided test at .10."""
    ours = two_sample_equivalence(treated, control, 1.0).interval
    theirs = two_sample_permutation(treated, control, level=0.9).interval

    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=5, max_size=7))
def test_pairs_give_the_interval_of_the_two_sided_test(values: list[float]):
    """Sign flips are symmetric, so the same holds for pairs."""
    ours = sign_flip_equivalence(values, 1.0).interval
    theirs = sign_flip(values, level=0.9).interval

    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(numbers, min_size=2, max_size=4),
    st.lists(numbers, min_size=5, max_size=6),
    st.floats(0.5, 8).map(lambda value: value + 0.0012345),
)
def test_p_and_verdict_agree(treated: list[float], control: list[float], margin: float):
    """Equivalent exactly where the larger one-sided p is at most alpha."""
    result = two_sample_equivalence(treated, control, margin)

    assert result.p is not None
    assert (result.verdict == "equivalent") == (result.p <= 0.05 + 1e-12)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_skewed_unequal_arms_at_the_margin_err_at_most_at_alpha(sign: float):
    """
    3 v 6 skewed runs whose true difference is the margin are called equivalent in at most 5 %.
    """
    rng = np.random.default_rng(1)
    false = [
        two_sample_equivalence(
            sign * (rng.exponential(size=3) + 3.0), sign * rng.exponential(size=6), 3.0
        ).verdict
        == "equivalent"
        for _ in range(1500)
    ]

    assert 0.02 < np.mean(false) < 0.067


def test_similar_arms_are_mostly_called_equivalent():
    """
    The test can also say yes: 5 v 5 runs without difference, margin of four standard deviations.
    """
    rng = np.random.default_rng(2)
    right = [
        two_sample_equivalence(*rng.standard_normal((2, 5)), 4.0).verdict == "equivalent"
        for _ in range(200)
    ]

    assert np.mean(right) > 0.95


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_the_margin_is_finite_and_positive(margin: float):
    """A margin of nothing or of everything is refused."""
    with pytest.raises(ValueError, match="margin must be finite and above 0"):
        equivalence(Interval(0.0, -1.0, 1.0, 0.9, 4), margin)
    with pytest.raises(ValueError, match="margin must be finite and above 0"):
        sign_flip_equivalence([1.0, 2.0], margin)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_alpha_lies_below_a_half(alpha: float):
    """1 - 2 alpha must be a level."""
    with pytest.raises(ValueError, match="alpha must lie in"):
        two_sample_equivalence([1.0], [2.0], 1.0, alpha=alpha)
