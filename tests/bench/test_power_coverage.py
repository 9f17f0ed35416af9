"""The simulations of the conformal statistics: what the docstrings state is what coverage.json holds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.figures import BENCH
from bench.power import coverage
from undertow.stats.conformal import PRIOR_DEGREES, SLACK

STORED = json.loads((BENCH / "power" / "coverage.json").read_text(encoding="utf-8"))


def rows(part: str, **wanted: object) -> list[dict[str, float]]:
    """The entries of a part with these values."""
    table = STORED[part]
    entries = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    return [e for e in entries if all(e[name] == value for name, value in wanted.items())]


@pytest.mark.parametrize(("adapters", "least"), [(2, 0.94), (4, 0.96), (8, 0.96)])
def test_the_chosen_prior_covers_on_average_and_all_at_once(adapters: int, least: float) -> None:
    """In every case of scatter and every number of references."""
    cells = rows("coverage", rule=f"prior {PRIOR_DEGREES:g}", adapters=adapters)

    assert {cell["scatter"] for cell in cells} == set(coverage.SCATTER)
    assert all(0.93 <= cell["mean"] <= 0.975 for cell in cells)
    assert min(cell["simultaneous"] for cell in cells) >= least


def test_the_stated_weakness_is_the_measured_one() -> None:
    """A single interval of the trait that alone scatters: .87 to .91 with four adapters."""
    cells = [
        cell
        for cell in rows("coverage", rule=f"prior {PRIOR_DEGREES:g}", adapters=4)
        if "one direction" in str(cell["scatter"])
    ]

    assert all(0.865 <= cell["trait 0"] <= 0.915 for cell in cells)


def test_the_guarantee_of_a_draw_is_kept_under_the_joint_scale() -> None:
    """Of 1,000 draws 3.5 to 6.5 % lie above the level that 5 % should exceed."""
    assert all(0.035 <= cell["share above"] <= 0.065 for cell in rows("guarantees"))


def test_the_slack_keeps_power() -> None:
    """No shift loses more than 7 points, at a third of 19 references for benign data."""
    cells = rows("stopping", slack=SLACK)
    benign = rows("stopping", slack=SLACK, references=19, shift=0.0)

    assert max(cell["lost"] for cell in cells) <= 0.07
    assert benign[0]["references made"] < 8


def test_the_noise_has_the_stated_variance() -> None:
    """Both kinds have variance 1 in each trait, so that cases differ by their scatter alone."""
    rng = np.random.default_rng(0)

    assert coverage.normal(rng, 40_000).var(axis=0) == pytest.approx(1, abs=0.05)
    assert coverage.heavy(rng, 40_000).var(axis=0) == pytest.approx(1, abs=0.15)
