"""Rearranged differences are what they say, lengths know the spread, and the rank test keeps its error rate."""

from __future__ import annotations

import numpy as np
import pytest

from undertow.stats.two_sample import Vectors, rearranged_differences, shrunken_lengths


def draw(shape: tuple[int, int], seed: int, shift: float = 0.0) -> Vectors:
    """Skewed vectors whose first coordinate is a hundred times as wide as the others."""
    values = np.random.default_rng(seed).exponential(size=shape).astype(np.float32)
    values[:, -1] += np.float32(shift)
    values[:, 0] *= 100
    return values


def p_value(one: Vectors, other: Vectors, *, matched: bool, seed: int, count: int = 99) -> float:
    """Rank of the observed length among all."""
    rng = np.random.default_rng(seed)
    found = rearranged_differences(one, other, matched=matched, count=count, rng=rng)
    lengths = shrunken_lengths(found, one, other, matched=matched)
    return float((lengths >= lengths[0] * (1 - 1e-9)).mean())


@pytest.mark.parametrize("matched", [True, False])
def test_the_first_difference_is_the_observed_one(matched: bool) -> None:
    """The others are different, centre on 0, and are as many as asked for."""
    one, other = draw((30, 3), 1), draw((30, 3), 2)
    found = rearranged_differences(
        one, other, matched=matched, count=600, rng=np.random.default_rng(0)
    )

    assert found.shape == (601, 3)
    assert np.allclose(found[0], one.mean(0) - other.mean(0), atol=1e-5)
    assert np.all(np.abs(found[1:].mean(0)) < 5 * found[1:].std(0) / np.sqrt(600))


def test_two_pairs_have_four_arrangements() -> None:
    """Swapping sides of matched pairs gives plus or minus each difference, and nothing else."""
    one, other = np.array([[1.0], [4.0]], np.float32), np.zeros((2, 1), np.float32)
    found = rearranged_differences(
        one, other, matched=True, count=200, rng=np.random.default_rng(0)
    )

    assert set(found.ravel().tolist()) == {2.5, -2.5, 1.5, -1.5}


def test_dealing_anew_keeps_the_sides_sizes() -> None:
    """Unmatched vectors of 0 and 1 can only give the differences of sides of 1 and 3."""
    one, other = np.array([[1.0]], np.float32), np.zeros((3, 1), np.float32)
    found = rearranged_differences(
        one, other, matched=False, count=200, rng=np.random.default_rng(0)
    )

    assert np.unique(np.round(found, 4)) == pytest.approx([-1 / 3, 1], abs=1e-4)


@pytest.mark.parametrize("matched", [True, False])
def test_lengths_agree_with_scikit_learns_shrinkage(matched: bool) -> None:
    """The same Ledoit-Wolf shrinkage of vectors divided by their deviations, inverted the plain way."""
    covariance = pytest.importorskip("sklearn.covariance")
    one, other = draw((25, 6), 1), draw((25, 6), 2)
    pooled = (one - other) / np.sqrt(2) if matched else np.concatenate([one, other])
    centred = (pooled if matched else pooled - pooled.mean(0)).astype(float)
    deviations = np.sqrt((centred**2).mean(0))
    shrunk, _ = covariance.ledoit_wolf(centred / deviations, assume_centered=True)
    difference = (one.mean(0) - other.mean(0)).astype(float)

    (found,) = shrunken_lengths(difference[None], one, other, matched=matched)
    scaled = difference / deviations

    assert found == pytest.approx(np.sqrt(scaled @ np.linalg.solve(shrunk, scaled)), rel=1e-3)


def test_a_shift_in_a_quiet_coordinate_is_seen() -> None:
    """Its raw norm drowns in the loud coordinate; its length does not."""
    one, other = draw((200, 4), 1, shift=1.0), draw((200, 4), 2)

    assert p_value(one, other, matched=False, seed=0) == pytest.approx(0.01)


def test_sides_can_be_exchanged() -> None:
    """The length of the opposite difference is the same."""
    one, other = draw((20, 3), 1), draw((30, 3), 2)
    difference = (one.mean(0) - other.mean(0))[None]
    there = shrunken_lengths(difference, one, other, matched=False)

    assert shrunken_lengths(-difference, other, one, matched=False) == pytest.approx(there)


def test_a_dead_coordinate_counts_nothing() -> None:
    """Vectors without any spread have length 0, not infinity."""
    one = np.ones((5, 3), np.float32)

    assert shrunken_lengths(np.zeros((1, 3), np.float32), one, one, matched=False) == 0


@pytest.mark.parametrize("matched", [True, False])
def test_the_error_rate_is_kept_without_a_shift(matched: bool) -> None:
    """On vectors of one distribution, more coordinates than rows, .05 is exceeded no more often than it says."""
    ps = [
        p_value(draw((12, 20), 2 * i, 0), draw((12, 20), 2 * i + 1, 0), matched=matched, seed=i)
        for i in range(300)
    ]

    # 300 tests at .05: 15 expected, sd 3.8.
    assert 4 <= sum(p <= 0.05 for p in ps) <= 27
