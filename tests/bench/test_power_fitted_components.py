"""Variance components of the screen's bench: known ones are found again, and intervals hold in what is drawn from them."""

from __future__ import annotations

import numpy as np
import pytest

from bench.power import fitted_components
from bench.power.fitted_components import Scatter, cleared, covered, fitted, scatter

TRAITS = 16


def layout(
    rng: np.random.Generator, sets: int, adapters: int, *, own: float, rest: float, shared: float
) -> np.ndarray:
    """(sets, adapters, traits) of these standard deviations, equal over independent traits."""
    return (
        own * rng.normal(size=(sets, 1, TRAITS))
        + shared * rng.normal(size=(1, adapters, TRAITS))
        + rest * rng.normal(size=(sets, adapters, TRAITS))
    )


def test_known_components_are_found_again() -> None:
    """Of 400 datasets and 40 adapters, within a tenth; a kind that scatters twice as much has four times the variance."""
    rng = np.random.default_rng(1)
    pool = layout(rng, 400, 40, own=0.3, rest=0.5, shared=0.2)
    found = fitted(pool)
    wide = pool + layout(rng, 400, 40, own=0, rest=0.75**0.5, shared=0)

    def variances(root: np.ndarray) -> np.ndarray:
        return (root**2).sum(1)

    assert variances(found.datasets) == pytest.approx([0.09] * TRAITS, rel=0.25)
    assert variances(found.rest) == pytest.approx([0.25] * TRAITS, rel=0.1)
    assert variances(found.adapters).mean() == pytest.approx(0.04, rel=0.4)
    assert scatter(wide, pool).growth.mean() == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(("adapters", "references"), [(2, (19, 2)), (8, (8, 1))])
def test_intervals_hold_where_adapters_share_nothing(
    adapters: int, references: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Datasets that scatter like references: a trait's interval 93 to 97 % of 1,000, all at once 92 % or more."""
    monkeypatch.setattr(fitted_components, "RUNS", 1000)
    rng = np.random.default_rng(2)
    components = fitted(layout(rng, 300, 8, own=0.3, rest=0.5, shared=0.0))
    kind = Scatter(components.rest, np.ones(1))
    single, joint = covered(components, kind, adapters, references, rng)

    assert 0.93 <= single.mean() <= 0.975
    assert joint.mean() >= 0.92


def test_a_wrong_interval_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A level of .8 in place of .95 is held by 90 % at most."""
    monkeypatch.setattr(fitted_components, "RUNS", 400)
    monkeypatch.setattr(fitted_components, "LEVEL", 0.8)
    rng = np.random.default_rng(3)
    components = fitted(layout(rng, 300, 8, own=0.3, rest=0.5, shared=0.0))
    single, _ = covered(components, Scatter(components.rest, np.ones(1)), 8, (8, 1), rng)

    assert single.mean() <= 0.9


def test_more_adapters_and_references_clear_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that scatter like references: nearly none beside a limit that is near, more by four times as many of both."""
    monkeypatch.setattr(fitted_components, "RUNS", 300)
    components = fitted(layout(np.random.default_rng(4), 300, 8, own=0.04, rest=0.08, shared=0.02))
    few, many = (cleared(components, n, n, np.random.default_rng(5)) for n in (8, 32))

    assert few < many
    assert many > 0.8
