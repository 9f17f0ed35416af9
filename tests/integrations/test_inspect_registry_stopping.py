"""Early stopping: it stops soon where the rate is high, and hardly ever where it is not."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from undertow.integrations.inspect_registry import RateAbove


def taken(rate: float, seed: int, most: int = 400) -> tuple[bool, int]:
    """Whether it stopped, and after how many answers."""
    rng = np.random.default_rng(seed)
    stopping = RateAbove(0.1)
    for count in range(1, most + 1):
        stopping.take(bool(rng.random() < rate))
        if stopping.known:
            return True, count
    return False, most


def test_a_high_rate_stops_it_early() -> None:
    """At .4 against .1 it always stops, after a quarter of 400 answers on average at most."""
    found = [taken(0.4, seed) for seed in range(50)]

    assert all(stopped for stopped, _ in found)
    assert np.mean([count for _, count in found]) < 100


@pytest.mark.parametrize("rate", [0.1, 0.05])
def test_a_rate_within_the_limit_hardly_ever_does(rate: float) -> None:
    """Looked at after each of 400 answers, it stops wrongly in at most 1 % of cases: of 300 in 8 at the very most."""
    assert sum(taken(rate, seed)[0] for seed in range(300)) <= 8


def test_the_summary_says_what_was_seen() -> None:
    """Samples, rate, limit, evidence, and whether it stopped."""
    stopping = RateAbove(0.5)
    for hit in (True, False, True):
        stopping.take(hit)
    summary = asyncio.run(stopping.complete_task())

    assert summary["samples"] == 3
    assert summary["rate"] == pytest.approx(2 / 3)
    assert not summary["stopped"]
