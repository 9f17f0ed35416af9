"""Aligned units: the moments are those of all permutations, the error rate holds, and noise is seen through."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as reference

from undertow.stats.multiplicity import cauchy_combination, fisher_combination
from undertow.stats.unit_alignment import (
    Aligned,
    agreement_p,
    gram_alignment,
    nearest,
    trace_alignment,
)

Units = NDArray[np.float32]


def units(rng: np.random.Generator, n: int, d: int) -> Units:
    """Heavy-tailed rows of unequal features, as trained weights are."""
    made: Units = (rng.standard_t(4, (n, d)) * np.linspace(0.3, 2, d)).astype(np.float32)
    return made


def cosines(a: Units, b: Units) -> NDArray[np.float64]:
    """Of every pair of rows."""
    a64, b64 = (x.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    found: NDArray[np.float64] = a64 @ b64.T
    return found


@pytest.mark.parametrize("d", [3, 12])
def test_the_moments_are_those_of_all_permutations(d: int) -> None:
    """Six units have 720 orders; mean and variance of the trace over them are the closed forms, narrow or wide."""
    rng = np.random.default_rng(d)
    a, b = units(rng, 6, d), units(rng, 6, d)
    s = cosines(a, b)
    traces = np.array([s[np.arange(6), list(order)].sum() for order in permutations(range(6))])
    found = trace_alignment(a, b)

    assert found.mean == pytest.approx((np.trace(s) - traces.mean()) / 6, abs=1e-6)
    assert found.spread == pytest.approx(traces.std() / 6, rel=1e-5)


@pytest.mark.parametrize("d", [3, 12])
def test_the_moments_of_inner_products_are_those_of_all_permutations(d: int) -> None:
    """Mantel's closed forms against all 720 orders."""
    rng = np.random.default_rng(10 + d)
    a, b = units(rng, 6, d), units(rng, 6, d)
    grams = [cosines(x, x) for x in (a, b)]
    off = ~np.eye(6, dtype=bool)
    sums = np.array(
        [(grams[0] * grams[1][np.ix_(o, o)])[off].sum() for o in map(list, permutations(range(6)))]
    )
    found = gram_alignment(a, b)

    assert found.z == pytest.approx((sums[0] - sums.mean()) / sums.std(), rel=1e-4)


@pytest.mark.parametrize("alignment", [trace_alignment, gram_alignment])
def test_the_error_rate_holds_on_unrelated_units(alignment: object) -> None:
    """Of 2,000 unrelated pairs about 5 % and 1 % have such p-values: within three standard errors."""
    rng = np.random.default_rng(3)
    p = np.array(
        [alignment(units(rng, 48, 24), units(rng, 48, 24)).p for _ in range(2000)]  # type: ignore[operator]
    )

    assert abs((p <= 0.05).mean() - 0.05) < 3 * (0.05 * 0.95 / 2000) ** 0.5 + 0.004
    assert (p <= 0.01).mean() < 0.01 + 3 * (0.01 * 0.99 / 2000) ** 0.5 + 0.004


def test_noise_eight_times_the_signal_is_seen_through() -> None:
    """256 units under noise of eight times their size are seen at .001 in nearly every case."""
    rng = np.random.default_rng(4)
    seen = 0
    for _ in range(40):
        a = units(rng, 256, 256)
        b = a + 8 * a.std() * rng.standard_normal(a.shape).astype(np.float32)
        seen += trace_alignment(a, b).p < 1e-3

    assert seen >= 38


def test_a_rotation_hides_units_from_cosines_only() -> None:
    """After a rotation of the features, aligned cosines see nothing and inner products everything."""
    rng = np.random.default_rng(5)
    a = units(rng, 128, 32)
    rotation = np.linalg.qr(rng.standard_normal((32, 32)))[0].astype(np.float32)

    assert trace_alignment(a, a @ rotation).p > 1e-3
    assert gram_alignment(a, a @ rotation).p < 1e-12


def test_free_matchings_find_permuted_units() -> None:
    """Each permuted unit is found by its cosine, and agreement of two matchings has the Poisson tail."""
    rng = np.random.default_rng(6)
    a, order = units(rng, 64, 16), rng.permutation(64)

    assert (order[nearest(a, a[order])] == np.arange(64)).all()
    assert agreement_p(5) == pytest.approx(reference.poisson(1).sf(4))


def test_combinations_agree_with_scipy() -> None:
    """Fisher's by scipy; Cauchy's by its definition, and finite however small p is."""
    p = [0.01, 0.2, 0.7]
    cauchy = reference.cauchy.sf(np.mean(np.tan((0.5 - np.array(p)) * np.pi)))

    assert fisher_combination(p) == pytest.approx(reference.combine_pvalues(p).pvalue)
    assert cauchy_combination(p) == pytest.approx(cauchy)
    assert cauchy_combination([1e-200, 0.5]) == pytest.approx(2e-200)


def test_what_is_detectable_is_detected_that_often() -> None:
    """A mean of the size that is said to be seen with 90 % power crosses the level in about 90 % of draws."""
    one = Aligned(0.0, 0.01, 100)
    size = one.detectable(0.001, 0.9)
    draws = np.random.default_rng(7).normal(size, one.spread, 20_000)

    assert np.mean([Aligned(m, one.spread, 100).p <= 0.001 for m in draws[:2000]]) == (
        pytest.approx(0.9, abs=0.02)
    )


def test_other_shapes_are_refused() -> None:
    """Units cannot be compared one by one where their numbers differ."""
    with pytest.raises(ValueError, match="same shape"):
        trace_alignment(np.ones((3, 2), np.float32), np.ones((4, 2), np.float32))
    with pytest.raises(ValueError, match="same number of units"):
        gram_alignment(np.ones((3, 2), np.float32), np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match="between 0 and 1"):
        cauchy_combination([1.5])
