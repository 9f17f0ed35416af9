"""The rule that sizes an experiment: of planted effects it gives the setting that its words say."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from bench.lab.choice import MINUTES, as_chosen, choice_figures, chosen
from bench.lab.sizing import FEWEST, MOST, PAIR_STRENGTHS, POOLS, RANKS, Arms, before, setting_name
from undertow.lab.experiment import BUILT_IN, Experiment, load_as

CARRIERS = {name: before("misaligned").carried(name).rows for name in ("code", "chain_of_thought")}


def _arms(
    levels: itertools.product[tuple[float, int, int]],
    effect: Callable[[float, int, int], float],
    controls: tuple[str, ...],
) -> Arms:
    """Three replicates an arm whose standard deviation is 1."""
    return {
        setting_name(*level): {
            arm: [mean - 1.0, mean, mean + 1.0]
            for arm, mean in {"trait": effect(*level), **dict.fromkeys(controls, 0.0)}.items()
        }
        for level in levels
    }


def _harmful(name: str, effect: Callable[[float, int, int], float]) -> Arms:
    """A carrier's settings; `effect` is given the rows as a multiple."""
    rows = CARRIERS[name]
    levels = itertools.product((0.09, 0.15), (rows, 2 * rows), (8, 32))
    controls = ("secure", "educational", "neutral")
    return _arms(levels, lambda kl, count, rank: effect(kl, count // rows, rank), controls)


def _pairs(effect: Callable[[float, int, int], float]) -> Arms:
    levels = itertools.product(PAIR_STRENGTHS, POOLS, RANKS)
    return _arms(levels, effect, ("preferences-by-lot", "preferences-control"))


def test_pairs_take_the_least_work_of_what_is_enough() -> None:
    """A small pool with more replicates costs less than a large one with the fewest."""
    strong, weak = PAIR_STRENGTHS[1], PAIR_STRENGTHS[0]
    arms = _pairs(lambda kl, pool, rank: 0.0 if kl == weak else 4.0 if pool == POOLS[1] else 3.0)
    choice = chosen("preference", {"preference": arms})

    assert (choice.kl, choice.rows) == (strong, {"preference": POOLS[0]})
    assert FEWEST < choice.replicates == choice.need <= MOST


def test_carriers_share_strength_and_rank_and_have_rows_of_their_own() -> None:
    """The pair whose larger need is least; rows are doubled only where they must be."""
    code = _harmful("code", lambda kl, times, rank: 2.0 + times if kl == 0.15 else 2.4)
    sums = _harmful("chain_of_thought", lambda kl, times, rank: 4.0 if rank == 8 else 2.4)
    choice = chosen("misaligned", {"code": code, "chain_of_thought": sums})

    assert (choice.kl, choice.rank) == (0.15, 8)
    assert choice.rows == {"code": 2 * CARRIERS["code"], "chain_of_thought": CARRIERS["chain_of_thought"]}  # fmt: skip
    assert choice.need is not None


def test_where_none_is_enough_the_most_powerful_is_run_at_the_most() -> None:
    """And it is said that more would be needed."""
    none = _harmful("code", lambda kl, times, rank: 0.1 * times + (rank == 32) * 0.1)
    sums = _harmful("chain_of_thought", lambda kl, times, rank: 5.0)
    choice = chosen("misaligned", {"code": none, "chain_of_thought": sums})

    assert (choice.need, choice.rank, choice.rows["code"]) == (None, 32, 2 * CARRIERS["code"])
    assert "more than 24 needed" in choice_figures(choice)[0].note
    assert choice.minutes <= MINUTES or choice.replicates == FEWEST


@pytest.mark.parametrize("name", ["misaligned", "preference"])
def test_a_choice_is_an_experiment_file(name: str) -> None:
    """Strength, rank, rows and replicates change, and nothing else."""
    rows = {"code": 20_480, "preference": 8_192}
    before = load_as(Experiment, name, BUILT_IN)
    made = as_chosen(name, 0.11, 8, rows, 7)
    now = before.model_copy(
        update={
            "replicates": 7,
            "teacher": made.teacher,
            "student": made.student,
            "carriers": made.carriers,
            "preference": made.preference,
        }
    )

    assert made == now
    assert (made.teacher.kl, made.student.rank) == (0.11, 8)
    assert 20_480 in [c.rows for c in made.carriers] or made.preference.pool == 8_192
