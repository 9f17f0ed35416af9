"""Intervals by the rank of one more run hold their level for all traits at once, whatever the law of runs."""

from __future__ import annotations

import numpy as np
import pytest

from undertow.stats.conformal import half_widths_by_rank

TRAITS, RUNS = 16, 1_000


def drawn(law: str, rng: np.random.Generator, controls: int) -> np.ndarray:
    """(runs, controls + 1, traits): traits move together, and some scatter three times as much as others."""
    shape = (RUNS, controls + 1, TRAITS)
    own, shared = {
        "normal": lambda: (rng.normal(size=shape), rng.normal(size=(*shape[:2], 1))),
        "heavy": lambda: (rng.standard_t(3, shape), rng.standard_t(3, (*shape[:2], 1))),
    }[law]()
    return (own + shared) * np.linspace(1, 3, TRAITS)


@pytest.mark.parametrize("law", ["normal", "heavy"])
@pytest.mark.parametrize(("controls", "attainable"), [(19, 0.05), (30, 1 / 31), (39, 0.05)])
def test_one_more_benign_run_seldom_leaves_its_intervals(
    law: str, controls: int, attainable: float
) -> None:
    """In at most the attainable share of 1,000 draws and at least half of it, three standard errors (.7 %) aside."""
    rng = np.random.default_rng([17, controls, len(law)])
    hits = [
        (np.abs(runs[0] - runs[1:].mean(0)) > half_widths_by_rank(runs[1:], 0.05)).any()
        for runs in drawn(law, rng, controls)
    ]

    assert attainable / 2 - 0.021 <= np.mean(hits) <= attainable + 0.021


def test_the_order_of_controls_and_their_place_do_not_matter() -> None:
    """Half-widths are the same for shifted and shuffled controls, and scale with them."""
    controls = np.random.default_rng(5).normal(size=(20, 3))
    widths = half_widths_by_rank(controls, 0.05)

    np.testing.assert_allclose(half_widths_by_rank(controls[::-1] + 7, 0.05), widths)
    np.testing.assert_allclose(half_widths_by_rank(2 * controls, 0.05), 2 * widths)


@pytest.mark.parametrize(
    ("controls", "alpha", "said"),
    [
        (np.zeros((2, 1)), 0.4, "2 controls"),
        (np.eye(18), 0.05, "18 controls cannot give p <= 0.05"),
        (np.ones((19, 2)), 0.05, "do not vary"),
    ],
)
def test_too_few_or_equal_controls_are_refused(
    controls: np.ndarray, alpha: float, said: str
) -> None:
    """No rank is as small, or no width is known."""
    with pytest.raises(ValueError, match=said):
        half_widths_by_rank(controls, alpha)
