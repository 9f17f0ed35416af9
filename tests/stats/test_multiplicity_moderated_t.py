"""The moderated t: known answers, an independent implementation, recovered priors, error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from undertow.stats.multiplicity import geometric_t, inverse_trigamma, moderated_t, variance_prior


def by_root_finding(treated: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, float]:
    """(p, prior degrees) item by item with scipy: the prior by a bracketed root, p from scipy.stats.t."""
    d = len(treated) + len(control) - 2
    s2 = np.array(
        [
            (np.var(a) * len(a) + np.var(b) * len(b)) / d
            for a, b in zip(treated.T, control.T, strict=True)
        ]
    )
    z = np.log(s2)
    wanted = np.var(z, ddof=1) - special.polygamma(1, d / 2)
    d0 = 2 * optimize.brentq(lambda x: special.polygamma(1, x) - wanted, 1e-6, 1e6)
    mean = z.mean() - special.digamma(d / 2) + np.log(d / 2)
    s02 = np.exp(mean + special.digamma(d0 / 2) - np.log(d0 / 2))
    post = (d0 * s02 + d * s2) / (d0 + d)
    t = (treated.mean(0) - control.mean(0)) / np.sqrt(post * (1 / len(treated) + 1 / len(control)))
    return 2 * stats.t.sf(np.abs(t), d0 + d), float(d0)


def runs(seed: int, sizes: tuple[int, int], items: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arms of normal runs whose items have scales of their own."""
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.normal(size=items))
    return rng.normal(size=(sizes[0], items)) * scale, rng.normal(size=(sizes[1], items)) * scale


@pytest.mark.parametrize("sizes", [(4, 4), (2, 5), (1, 3)])
def test_agrees_with_an_independent_implementation(sizes: tuple[int, int]) -> None:
    """Prior degrees and every p."""
    treated, control = runs(3, sizes, 40)
    p, prior_degrees = by_root_finding(treated, control)
    found = moderated_t(treated, control)

    assert found.prior_degrees == pytest.approx(prior_degrees, rel=1e-6)
    assert found.p == pytest.approx(p, rel=1e-6)
    assert found.degrees == pytest.approx(sum(sizes) - 2 + prior_degrees)


def test_two_items_give_the_ordinary_t() -> None:
    """Too few items lend nothing: scipy's pooled t test."""
    treated, control = runs(0, (4, 3), 2)

    assert moderated_t(treated, control).p == pytest.approx(
        stats.ttest_ind(treated, control).pvalue
    )


def test_what_is_borrowed_can_be_bounded() -> None:
    """No more than so many degrees for each of an item's own; bounded at 0 it is the pooled t; a bound above is none."""
    treated, control = runs(3, (1, 4), 40)
    fewest = moderated_t(treated, control).prior_degrees / 3
    free, half, none = (
        moderated_t(treated, control, most_borrowed=most) for most in (1e6, fewest / 2, 0.0)
    )

    assert half.prior_degrees == pytest.approx(1.5 * fewest)
    assert none.p == pytest.approx(stats.ttest_ind(treated, control).pvalue)
    assert free.p == pytest.approx(moderated_t(treated, control).p)


def test_equal_variances_give_a_normal_test_on_the_common_one() -> None:
    """Where log variances do not spread at all, d0 is infinite and ln s02 = ln s2 - digamma(d/2) + ln(d/2)."""
    variance, degrees = variance_prior([2.0, 2.0, 2.0], 4)
    found = moderated_t([[0.0] * 3, [2.0] * 3], [[0.0] * 3, [2.0] * 3])

    assert degrees == math.inf
    assert variance == pytest.approx(2.0 * math.exp(math.log(2) - special.digamma(2)))
    assert found.p.tolist() == [1.0] * 3


@pytest.mark.parametrize(("prior", "degrees"), [(3.0, 6), (10.0, 4), (30.0, 6)])
def test_the_prior_of_drawn_variances_is_found_again(prior: float, degrees: int) -> None:
    """Variances s02 d0 / chi2(d0) * chi2(d) / d over many items."""
    rng = np.random.default_rng(1)
    true = 0.5 * prior / rng.chisquare(prior, 40_000)
    variance, found = variance_prior(true * rng.chisquare(degrees, true.size) / degrees, degrees)

    assert found == pytest.approx(prior, rel=0.12)
    assert variance == pytest.approx(0.5, rel=0.05)


@given(st.floats(1e-4, 1e6))
def test_inverse_trigamma_undoes_trigamma(x: float) -> None:
    """Over ten orders of magnitude."""
    assert inverse_trigamma(float(special.polygamma(1, x))) == pytest.approx(x, rel=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-5, 5))
def test_units_and_offsets_do_not_matter_and_arms_exchange(
    seed: int, unit: float, offset: float
) -> None:
    """p is the same in another unit; exchanging the arms turns the estimate round."""
    treated, control = runs(seed, (3, 4), 12)
    found = moderated_t(treated, control)
    other = moderated_t(unit * control + offset, unit * treated + offset)

    assert other.p == pytest.approx(found.p, rel=1e-6)
    assert other.estimate == pytest.approx(-unit * found.estimate, rel=1e-6, abs=1e-9)


def test_an_item_that_does_not_vary_borrows_from_the_others() -> None:
    """It is neither dropped nor infinitely sure; the prior is fitted without it."""
    treated, control = runs(5, (4, 4), 30)
    treated[:, 0], control[:, 0] = 1.0, 0.0
    found = moderated_t(treated, control)

    assert 0 < found.p[0] < 1
    assert found.prior_degrees == moderated_t(treated[:, 1:], control[:, 1:]).prior_degrees


@pytest.mark.parametrize("prior", [2.0, 8.0])
def test_p_is_uniform_under_the_null(prior: float) -> None:
    """In the model of the test, 4 v 4 runs: a share of 5 % and of 0.1 % of p-values lies below .05 and .001."""
    rng = np.random.default_rng(2)
    scale = np.sqrt(prior / rng.chisquare(prior, 60_000))
    treated, control = rng.normal(size=(2, 4, scale.size)) * scale
    p = moderated_t(treated, control).p

    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.004)
    assert np.mean(p < 0.001) == pytest.approx(0.001, abs=0.0005)


@pytest.mark.parametrize(
    ("treated", "control", "message"),
    [
        ([[1.0]], [[2.0]], "got 1 v 1"),
        ([[1.0, 2.0]], [[2.0], [3.0]], "hold 2 and 1 items"),
        ([1.0, 2.0], [[2.0]], "runs in rows"),
        ([[math.nan]], [[2.0], [3.0]], "treated must be finite"),
        ([[1.0], [1.0]], [[2.0], [2.0]], "item 0 does not vary"),
    ],
)
def test_refuses_what_it_cannot_use(treated: object, control: object, message: str) -> None:
    """Each fault is named."""
    with pytest.raises(ValueError, match=message):
        moderated_t(treated, control)  # type: ignore[arg-type]


def test_a_prior_needs_variances_that_can_be() -> None:
    """Negative ones and none at all are refused."""
    with pytest.raises(ValueError, match="must not be negative"):
        variance_prior([1.0, -1.0], 3)
    with pytest.raises(ValueError, match="at least 1"):
        variance_prior([], 3)


def test_the_geometric_mean_of_both_arms_sets_the_scale() -> None:
    """From the definition, with the prior of those means; the arms may be exchanged."""
    treated, control = runs(4, (4, 3), 25)
    treated *= 3
    means = np.sqrt(treated.var(0, ddof=1) * control.var(0, ddof=1))
    variance, degrees = variance_prior(means, 5)
    shrunken = (degrees * variance + 5 * means) / (degrees + 5)
    expected = np.abs(treated.mean(0) - control.mean(0)) / np.sqrt(shrunken * (1 / 4 + 1 / 3))

    assert geometric_t(treated, control) == pytest.approx(expected)
    assert geometric_t(control, treated) == pytest.approx(expected)


def test_a_single_run_is_measured_by_the_others() -> None:
    """It has no variance of its own; an item without any difference has none to speak of."""
    found = geometric_t([[5.0, 1.0, 2.0]], [[0.0, 1.0, 1.0], [2.0, 1.0, 1.0]])

    assert found.tolist() == pytest.approx([4 / math.sqrt(2 * 1.5), 0.0, math.inf])
