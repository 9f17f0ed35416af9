"""The step-down permutation test: against a plain loop, its least p, its error rate, its random splits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from undertow.stats import two_sample_permutation
from undertow.stats.multiplicity import EXACT_SPLITS, step_down


def difference(treated: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Size of the difference of means."""
    return np.abs(treated.mean(0) - control.mean(0))


def by_loops(treated: np.ndarray, control: np.ndarray) -> list[float]:
    """The same from the definition: for each item, the share of splits whose maximum over weaker items reaches it."""
    runs = np.vstack([treated, control])
    observed = difference(treated, control)
    order = sorted(range(observed.size), key=lambda i: -observed[i])
    result, floor = [0.0] * observed.size, 0.0
    for place, item in enumerate(order):
        hits, splits = 0, list(itertools.combinations(range(len(runs)), len(treated)))
        for first in splits:
            rest = [i for i in range(len(runs)) if i not in first]
            found = difference(runs[list(first)], runs[rest])
            hits += max(found[j] for j in order[place:]) >= observed[item] - 1e-9
        floor = max(floor, hits / len(splits))
        result[item] = floor
    return result


@pytest.mark.parametrize("sizes", [(3, 3), (2, 4), (4, 2)])
def test_agrees_with_a_plain_loop(sizes: tuple[int, int]) -> None:
    """All splits, each item against the maximum of those not stronger than itself."""
    rng = np.random.default_rng(4)
    treated, control = rng.normal(size=(sizes[0], 7)), rng.normal(size=(sizes[1], 7))
    treated[:, 2] += 3

    assert step_down(difference, treated, control, rng).tolist() == pytest.approx(
        by_loops(treated, control)
    )


def test_one_item_gives_the_permutation_test() -> None:
    """Without other items nothing is corrected."""
    rng = np.random.default_rng(0)
    treated, control = rng.normal(size=(4, 1)) + 1, rng.normal(size=(4, 1))

    assert step_down(difference, treated, control, rng)[0] == pytest.approx(
        two_sample_permutation(treated[:, 0], control[:, 0]).p
    )


def test_a_clear_shift_has_the_least_p_of_the_design() -> None:
    """4 v 4 runs: 2 of 70 splits, the observed one and its mirror image."""
    rng = np.random.default_rng(1)
    treated, control = rng.normal(size=(4, 50)), rng.normal(size=(4, 50))
    treated[:, 9] += 40

    assert step_down(difference, treated, control, rng)[9] == pytest.approx(2 / 70)


def test_many_runs_draw_splits_from_the_generator() -> None:
    """The observed split counts, so p is never 0; the same seed gives the same p."""
    treated, control = np.random.default_rng(1).normal(size=(2, 9, 5))
    treated[:, 0] += 10
    found = [step_down(difference, treated, control, np.random.default_rng(4)) for _ in range(2)]

    assert found[0].tolist() == found[1].tolist()
    assert found[0][0] == pytest.approx(1 / EXACT_SPLITS)


def test_false_rejections_stay_at_the_exact_rate() -> None:
    """Heavy-tailed items bound by a common factor: p <= .05 in 2 of 70 searches, the rate of the design."""
    rng = np.random.default_rng(5)
    alarms = []
    for _ in range(400):
        values = rng.standard_t(2, size=(8, 20)) + 2 * rng.standard_t(2, size=(8, 1))
        alarms.append(step_down(difference, values[:4], values[4:], rng).min() <= 0.05)

    assert np.mean(alarms) == pytest.approx(2 / 70, abs=0.02)
