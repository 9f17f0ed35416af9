"""The smallest effect a design would have seen: power reached, references, and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.power import TTestIndPower, TTestPower

from undertow.stats import detectable_effect, sign_flip, two_sample_permutation


def test_the_exact_test_reaches_the_power_at_the_detectable_effect():
    """4 v 4 runs shifted by it are rejected in about 80 % of experiments."""
    shift = detectable_effect(1.0, 4, 4, rng=np.random.default_rng(1))
    rng = np.random.default_rng(2)
    seen = [
        two_sample_permutation(rng.standard_normal(4) + shift, rng.standard_normal(4)).p <= 0.05
        for _ in range(1200)
    ]

    assert np.mean(seen) == pytest.approx(0.8, abs=0.05)


def test_the_sign_flip_test_reaches_the_power_at_the_detectable_effect():
    """Seven pairs shifted by it are rejected in about 80 % of experiments."""
    shift = detectable_effect(2.0, 7, rng=np.random.default_rng(3))
    rng = np.random.default_rng(4)
    seen = [sign_flip(rng.normal(shift, 2.0, 7)).p <= 0.05 for _ in range(1200)]

    assert np.mean(seen) == pytest.approx(0.8, abs=0.05)


def test_is_near_the_t_tests_where_runs_are_many():
    """For 10 v 10 normal runs the permutation test has nearly the power of the t test."""
    ours = detectable_effect(1.0, 10, 10, rng=np.random.default_rng(5), simulations=2000)
    theirs = TTestIndPower().solve_power(nobs1=10, alpha=0.05, power=0.8)

    assert ours == pytest.approx(theirs, rel=0.07)


def test_is_near_the_paired_t_tests_where_pairs_are_many():
    """The same for 12 pairs, whose patterns are sampled."""
    ours = detectable_effect(1.0, 12, rng=np.random.default_rng(6), simulations=2000)
    theirs = TTestPower().solve_power(nobs=12, alpha=0.05, power=0.8)

    assert ours == pytest.approx(theirs, rel=0.07)


@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, None), (1, 1)])
def test_is_infinite_where_the_design_cannot_reach_the_level(n: int, m: int | None):
    """No effect is large enough for 3 v 3 runs, or five pairs, at .05."""
    assert detectable_effect(1.0, n, m, rng=np.random.default_rng(7)) == math.inf


def test_is_proportional_to_the_standard_deviation():
    """The answer is in the unit of sd."""
    one, ten = (
        detectable_effect(sd, 4, 5, rng=np.random.default_rng(8), simulations=500)
        for sd in (1.0, 10.0)
    )

    assert ten == pytest.approx(10 * one)


def test_falls_with_runs_and_rises_with_power():
    """More runs see less, more power asks for more."""
    few, many, sure = (
        detectable_effect(1.0, n, n, power=power, rng=np.random.default_rng(9), simulations=1000)
        for n, power in ((4, 0.8), (7, 0.8), (4, 0.95))
    )

    assert many < few < sure


@pytest.mark.parametrize("spreads", [(3.0, 1.0), (1.0, 3.0)])
def test_arms_may_have_their_own_standard_deviations(spreads: tuple[float, float]):
    """With unequal arms and noise the power at the detectable effect is still 80 %."""
    shift = detectable_effect(spreads, 3, 6, rng=np.random.default_rng(10))
    rng = np.random.default_rng(12)
    seen = []
    for _ in range(1200):
        treated, control = rng.normal(shift, spreads[0], 3), rng.normal(0.0, spreads[1], 6)
        result = two_sample_permutation(treated, control)
        seen.append(result.p <= 0.05 and result.estimate > 0)

    assert np.mean(seen) == pytest.approx(0.8, abs=0.05)


def test_a_strict_level_draws_enough_rearrangements():
    """12 v 12 at .9999 is reachable: the sampled splits must be more than 10 000."""
    shift = detectable_effect(
        1.0, 12, 12, level=0.9999, rng=np.random.default_rng(11), simulations=20
    )

    assert math.isfinite(shift)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sd": -1.0}, "sd must be finite and at least 0, got -1.0"),
        ({"sd": math.nan}, "sd must be finite"),
        ({"sd": (1.0, 2.0), "m": None}, "pairs have one sd"),
        ({"power": 1.0}, r"power must lie in \(0, 1\), got 1.0"),
        ({"level": 0.0}, r"level must lie in \(0, 1\), got 0.0"),
        ({"n": 0}, "n must be a whole number"),
        ({"simulations": 0}, "simulations must be a whole number"),
    ],
)
def test_refuses_what_it_cannot_use(change: dict[str, object], message: str):
    """The message names the argument and the value."""
    arguments: dict[str, object] = {"sd": 1.0, "n": 4, "m": 4, **change}
    with pytest.raises(ValueError, match=message):
        detectable_effect(**arguments, rng=np.random.default_rng(0))  # type: ignore[arg-type]
