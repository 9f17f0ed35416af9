"""E-processes: known answers, chunks, Ville's bound by simulation, power; e-BH against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import norm

from undertow.stats.e_process import EProcess


def plain(alternatives: np.ndarray, nulls: np.ndarray, weights: np.ndarray) -> list[float]:
    """The definition, row by row."""
    return [
        float(logsumexp(np.log(weights / weights.sum()) + alternatives[:n].sum(0)))
        - float(nulls[:n].sum(0).max())
        for n in range(1, len(alternatives) + 1)
    ]


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 12))
def test_chunks_and_the_definition_agree(seed: int, cut: int) -> None:
    """However the rows are cut into chunks, the path is that of the definition."""
    rng = np.random.default_rng(seed)
    ours, theirs, weights = rng.normal(size=(12, 3)), rng.normal(size=(12, 2)), rng.random(3) + 0.1
    process = EProcess(weights.tolist())
    path = np.concatenate(
        [process.update(ours[:cut], theirs[:cut]), process.update(ours[cut:], theirs[cut:])]
    )

    assert path == pytest.approx(plain(ours, theirs, weights), abs=1e-9)
    assert process.log_e == path[-1]
    assert process.rows == 12
    assert process.log_maximum == max(0, path.max())


def test_a_value_common_to_both_sides_cancels() -> None:
    """What is added to a row's log-likelihood under every model changes nothing."""
    rng = np.random.default_rng(0)
    ours, theirs, extra = rng.normal(size=(9, 2)), rng.normal(size=(9, 2)), rng.normal(size=(9, 1))

    one = EProcess((1, 1)).update(ours, theirs)
    other = EProcess((1, 1)).update(ours + extra, theirs + extra)
    assert one == pytest.approx(other)


def coins(rng: np.random.Generator, rate: float, runs: int, rows: int) -> np.ndarray:
    """Tosses, (runs, rows)."""
    return (rng.random((runs, rows)) < rate).astype(float)


def crossing_rate(tosses: np.ndarray) -> float:
    """How often the e-process of biased coins against coins of 0.5 and 0.45 crosses 20."""

    def likelihoods(row: np.ndarray, rates: list[float]) -> np.ndarray:
        return np.stack([np.where(row > 0, math.log(r), math.log(1 - r)) for r in rates], 1)

    crossed = 0
    for row in tosses:
        process = EProcess((1, 1, 1))
        process.update(likelihoods(row, [0.3, 0.6, 0.8]), likelihoods(row, [0.5, 0.45]))
        crossed += process.crossed_at(0.05) is not None
    return crossed / len(tosses)


@pytest.mark.parametrize("rate", [0.5, 0.45])
def test_villes_bound_holds_under_each_member_of_the_null(rate: float) -> None:
    """Looked at after each of 200 rows, E reaches 20 in at most 5 % of runs."""
    assert crossing_rate(coins(np.random.default_rng(1), rate, 1_000, 200)) <= 0.05


def test_it_has_power() -> None:
    """An alternative that is right is nearly always found."""
    assert crossing_rate(coins(np.random.default_rng(2), 0.6, 200, 600)) > 0.9


def test_a_plug_in_of_earlier_rows_only_keeps_the_bound() -> None:
    """A mean fitted to the past is a valid alternative at every row."""
    x = np.random.default_rng(3).normal(size=(500, 150))
    past = np.cumsum(x, 1) - x
    fitted = past / (np.arange(150) + 1)
    crossed = 0
    for row, mean in zip(x, fitted, strict=True):
        process = EProcess((1,))
        process.update(norm.logpdf(row, mean)[:, None], norm.logpdf(row)[:, None])
        crossed += process.crossed_at(0.05) is not None
    assert crossed / 500 <= 0.05


def test_the_first_crossing_is_counted_over_chunks() -> None:
    """log 20 is just below 3 nats: three rows of one nat each cross it."""
    process = EProcess((1,))
    for _ in range(4):
        process.update([[0.0]], [[-1.0]])

    assert process.crossed_at(0.05) == 3
    assert process.crossed_at(0.001) is None


def test_an_alternative_that_rules_a_row_out_is_dead() -> None:
    """-inf is a value: the rest of the mixture goes on."""
    process = EProcess((1, 1))
    process.update([[-math.inf, 0.0]], [[0.0]])

    assert process.log_e == pytest.approx(-math.log(2))


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ([[0.0, 0.0]], [[0.0]], r"alternatives must have shape \(rows, 1\), got \(1, 2\)"),
        ([[0.0]], [[0.0], [0.0]], "1 rows of alternatives but 2 rows of nulls"),
        ([[math.nan]], [[0.0]], "alternatives must be finite or -inf"),
        ([[0.0]], [[-math.inf]], "every member of the null rules the rows out"),
    ],
)
def test_refuses_what_does_not_fit(ours: object, theirs: object, message: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(ValueError, match=message):
        EProcess((1,)).update(ours, theirs)  # type: ignore[arg-type]


def test_weights_are_positive() -> None:
    """A weight of zero would be an alternative that cannot win."""
    with pytest.raises(ValueError, match="weights must be positive, got 0"):
        EProcess((1, 0))
