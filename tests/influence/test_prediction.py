"""
Readings become transfer with the stated limits; a fit learns a known relation and covers what it has not seen.
"""

from __future__ import annotations

import numpy as np
import pytest

from undertow.influence.prediction import (
    Prediction,
    Readings,
    cleared,
    features,
    fit,
    predict,
    student_noise,
    uncalibrated,
)
from undertow.results.model_documents import Look

TRAITS = 16


def readings(moved: np.ndarray, error: float = 0.01, excess: float = 0.0) -> Readings:
    """A rehearsal of a quarter of a plan with a linear schedule."""
    return Readings(moved, np.full(len(moved), error), 2.0, excess)


def simulated(
    rng: np.random.Generator, count: int, slope: float = 1.5
) -> tuple[list[Readings], list[np.ndarray], list[int]]:
    """Datasets of which half pull one trait by up to two logits; two students each."""
    seen, real = [], []
    for _ in range(count):
        truth = rng.normal(0, 0.01, TRAITS)
        if rng.random() < 0.5:
            truth[rng.integers(TRAITS)] = rng.uniform(0.1, 2.0)
        noisy = truth / slope / 2 * (1 + rng.normal(0, 0.15, TRAITS)) + rng.normal(0, 0.01, TRAITS)
        seen.append(readings(noisy))
        real.append(truth + rng.normal(0, 0.05, (2, TRAITS)))
    return seen, real, list(range(count))


def test_limits_solve_the_stated_equation() -> None:
    """At both limits the estimate is as many standard errors away as the quantile says."""
    look = Look(
        stage=4,
        weights=(1.0, -0.5),
        variances=(0.04, 0.002, 0.001, 0.5),
        low_quantile=2.7,
        high_quantile=1.6,
    )
    found = readings(np.linspace(-0.2, 0.8, TRAITS), excess=0.2)
    result = predict(found, look)
    constant = 0.002 + 0.001 * found.strangeness + 0.5 * (0.01 * 2.0) ** 2
    for limit, quantile in ((result.low, 2.7), (result.high, 1.6)):
        off = (result.estimate - limit) / np.sqrt(constant + 0.04 * limit**2)
        np.testing.assert_allclose(np.abs(off), quantile)
    assert (result.low < result.estimate).all()
    assert (result.estimate < result.high).all()


def test_a_trait_that_stands_out_is_hardly_shrunk() -> None:
    """Placebo traits are shrunk towards 0, the one that moves alone is not."""
    moved = np.full(TRAITS, 0.02) * np.where(np.arange(TRAITS) % 2, 1, -1)
    moved[3] = 0.5
    shrunken = features(readings(moved, error=0.001))[:, 0]

    assert shrunken[3] == pytest.approx(1.0, rel=0.05)
    assert np.abs(np.delete(shrunken, 3)).max() < 0.02


def test_strange_rows_begin_and_end_to_count() -> None:
    """Strangeness is 0 up to the first threshold and 1 from the second."""
    moved = np.zeros(TRAITS)
    strange = [readings(moved, excess=e).strangeness for e in (-1, 0.17, 0.22, 0.27, 3)]

    assert strange == pytest.approx([0, 0, 0.5, 1, 1])


def test_a_fit_covers_datasets_that_it_has_not_seen() -> None:
    """
    Lower limits are below nearly all true transfers, upper limits above at least 90 %, and estimates are close.
    """
    rng = np.random.default_rng(8)
    look = fit(4, *simulated(rng, 120), traits=TRAITS, level=0.95)
    seen, real, _ = simulated(rng, 200)
    results = [predict(each, look) for each in seen]
    truth = np.concatenate([each.mean(0) for each in real])
    low = np.concatenate([r.low for r in results])
    high = np.concatenate([r.high for r in results])
    estimate = np.concatenate([r.estimate for r in results])
    big = truth > 0.5

    assert (low < truth + 0.1).mean() > 0.995
    assert (high > truth - 0.1)[big].mean() > 0.9
    assert np.corrcoef(estimate, truth)[0, 1] > 0.95


def test_few_null_datasets_are_flagged_and_most_are_cleared() -> None:
    """Datasets that move nothing: at most 5 % flagged, most cleared."""
    rng = np.random.default_rng(9)
    look = fit(4, *simulated(rng, 120), traits=TRAITS, level=0.95)
    results = [predict(readings(rng.normal(0, 0.015, TRAITS)), look) for _ in range(300)]

    assert np.mean([(r.low > 0.2).any() for r in results]) <= 0.05
    assert np.mean([cleared(r, 0.2) for r in results]) >= 0.8


def test_student_noise_is_learned_from_pairs() -> None:
    """Variance of a mean of two students is half that of one, whatever the pairs' means."""
    rng = np.random.default_rng(3)
    pairs = [rng.normal(0, 0.1, (2, TRAITS)) for _ in range(200)]
    single = [rng.normal(0, 0.1, (1, TRAITS))]
    noise = student_noise([*pairs, *single])

    assert noise[:TRAITS].mean() == pytest.approx(0.005, rel=0.15)
    assert noise[-TRAITS:].mean() == pytest.approx(0.01, rel=0.15)


def test_without_a_calibration_readings_are_continued_in_a_straight_line() -> None:
    """The estimate is the reading times the plan's learning rate over what was taken of it."""
    result = uncalibrated(readings(np.array([0.1, 0.2])), 2, 0.95)

    np.testing.assert_allclose(result.estimate, [0.2, 0.4])
    assert isinstance(result, Prediction)
