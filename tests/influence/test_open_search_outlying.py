"""The open search by rank: one draw of rows among placebos, named at the level that their number allows and never below."""

from __future__ import annotations

import numpy as np
import pytest

from tests.influence.test_open_search import looked
from undertow.influence.open_search import Looked, outlying
from undertow.stats import holm
from undertow.stats.multiplicity import moderated_t


def names(groups: list[Looked], level: float = 0.95) -> list[str]:
    """Of what is named."""
    return [entry.name for entry in outlying(groups, "all", level=level)]


@pytest.mark.parametrize(("tail", "shared"), [(None, 0.0), (3.0, 0.0), (3.0, 0.8)])
def test_a_benign_run_is_named_at_the_level(tail: float | None, shared: float) -> None:
    """Against 19 placebos, whatever the tails and whatever binds the items: within three errors of 5 % of 300 searches."""
    alarms = []
    for seed in range(300):
        probes = looked(seed, runs=(1, 19), items=20, tail=tail, shared=shared)
        tokens = looked(10_000 + seed, runs=(1, 19), items=60, tail=tail, what="token", scale=3.0)
        alarms.append(bool(names([probes, tokens])))

    assert np.mean(alarms) == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 300) ** 0.5)


def test_a_t_over_four_placebos_errs_where_a_rank_refuses() -> None:
    """
    What was done with four controls names something in over a fifth of benign runs with heavy tails; their rank has no p below .2.
    """
    trusted, ranked = [], []
    for seed in range(300):
        group = looked(seed, runs=(1, 4), items=60, tail=3.0)
        trusted.append(holm(moderated_t(group.moved, group.placebo).p).min() <= 0.05)
        ranked.append(bool(names([group])))

    assert np.mean(trusted) > 0.2
    assert not any(ranked)


def test_what_moved_is_named_at_the_least_p() -> None:
    """A quiet probe beside noisy tokens, at 1 / 20; nothing at a level that 19 placebos cannot reach."""
    probes = looked(1, runs=(1, 19))
    tokens = looked(2, runs=(1, 19), what="token", scale=30.0)
    probes.moved[:, 17] += 2
    (entry,) = outlying([probes, tokens], "tuned")

    assert (entry.what, entry.name, entry.unit, entry.p) == ("probe", "probe 17", "logits", 0.05)
    assert entry.estimate == pytest.approx(probes.moved[0, 17] - probes.placebo[:, 17].mean())
    assert names([probes, tokens], level=0.99) == []


def test_several_runs_of_the_same_rows_are_one_draw() -> None:
    """Five runs that share what is peculiar to their rows: their mean is ranked, and no more is named than the level allows."""
    alarms = []
    for seed in range(300):
        group, rng = looked(seed, runs=(5, 19), items=40), np.random.default_rng(seed)
        peculiar = rng.normal(0, 0.1, (20, 40))
        placebo = group.placebo + peculiar[1:]
        alarms.append(
            bool(names([Looked("probe", group.names, group.moved + peculiar[0], placebo)]))
        )

    assert np.mean(alarms) <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


def test_nothing_to_look_at_names_nothing() -> None:
    """No kinds, no entries."""
    assert outlying([], "all") == ()


def test_readings_that_do_not_fit_are_refused() -> None:
    """Kinds read in other runs, and what is not finite."""
    with pytest.raises(ValueError, match="in the same runs"):
        outlying([looked(0, runs=(1, 19)), looked(0, runs=(1, 20))], "all")
    with pytest.raises(ValueError, match="must be finite"):
        outlying([Looked("probe", ("a",), np.full((1, 1), np.nan), np.zeros((19, 1)))], "all")
