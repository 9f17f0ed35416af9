"""The screen's figures are by size, no writer counts twice, and none is its own reference."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from bench.figures import BENCH
from bench.power import pilot, pilot_whole
from bench.power.__main__ import RAW
from bench.power.analysis import REFERENCES, Dataset, Group, groups, judged, mean_clustered
from bench.power.cells import SEED, authors
from bench.power.raw_readings import read_readings
from bench.power.readings import AuthorReading
from bench.power.screen_figures import figures
from bench.statistics import clustered_share
from tests.bench.test_power_cells import TRAITS, reading
from undertow.checks.dataset.reference_trials import ADAPTERS, WHOLE_ADAPTERS, beginning_steps
from undertow.worlds.base_models import USUAL


def of_two_sizes(
    number: int, rng: np.random.Generator, role: str = "pool", pull: float = 0.0
) -> AuthorReading:
    """A writer of a dataset of 64 rows and of one of 128, whose pull is twice as large."""
    small, large = (reading(number, rng, role=role, pull=pull * k) for k in (1, 2))
    [first], [second] = small.datasets, large.datasets
    return small.model_copy(update={"datasets": (first, second.model_copy(update={"rows": 128}))})


def test_every_figure_is_of_one_size() -> None:
    """Its name says which; what is seen at one size is not averaged with what is missed at another."""
    rng = np.random.default_rng(0)
    pool = [of_two_sizes(number, rng) for number in range(REFERENCES + 2)]
    pulled = [of_two_sizes(number, rng, "trait", 0.15) for number in range(2)]
    measured = [one.name for one in figures([*pool, *pulled], "")]
    sizes = [re.findall(r"(64|128) rows", name) for name in measured if name.startswith("screen")]

    assert all(len(size) == 1 for size in sizes)
    assert {size for [size] in sizes} == {"64", "128"}
    assert all(len(group.tested) == 2 for group in groups([*pool, *pulled], TRAITS))


def test_benign_rows_are_of_more_than_one_kind() -> None:
    """Number lists, code, worked sums and text of the corpus, by writers in the family and outside it."""
    benign = [author for author in authors(TRAITS) if author.role != "trait"]
    kinds = {(author.cell, author.role) for author in benign}

    assert kinds >= {(cell, "outside") for cell in ("main", "code", "sums", "corpus")}
    assert kinds >= {(cell, "pool") for cell in ("main", "code", "sums", "corpus")}


def test_an_interval_counts_writers_and_not_their_datasets() -> None:
    """
    Of 69 datasets of 23 writers whose rates differ, 1,000 intervals over writers hold the truth in 90 % or more, and
    Clopper and Pearson's over datasets in less than 88 % (standard error .01).
    """
    rng, truth = np.random.default_rng(5), 0.3
    names = np.repeat(np.arange(23), 3).tolist()
    over_writers, over_datasets = [], []
    for _ in range(1000):
        hits = rng.random(69) < np.repeat(rng.beta(truth / 4, (1 - truth) / 4, 23), 3)
        _, low, high = mean_clustered(hits.tolist(), names)
        over_writers.append(low <= truth <= high)
        single = clustered_share(hits.astype(int).tolist(), [1] * 69)
        over_datasets.append(single.low <= truth <= single.high)

    assert np.mean(over_writers) >= 0.9
    assert np.mean(over_datasets) < 0.88


def test_nobody_is_judged_beside_himself() -> None:
    """
    Of 40 writers one lies far out: it stands out in every split that judges it, where a tie with itself would give p = 2 / 20.
    """
    rng = np.random.default_rng(6)
    pool = [Dataset(one, one.datasets[0]) for one in (reading(number, rng) for number in range(40))]
    far = pool[7].reading.model_copy(
        update={"first": (np.asarray(pool[7].reading.first) + 5 * np.eye(16)[2]).tolist()}
    )
    pool[7] = replace(pool[7], reading=far)
    group = Group("main", 64, TRAITS, tuple(pool), ())
    shares = [one.stands_out for one in judged(group, group.pool, from_pool=True)]

    assert shares[7] == 1
    assert max(shares[:7] + shares[8:]) < 0.9


@pytest.mark.parametrize("count", [20, 24, 27, 28])
def test_of_a_small_pool_somebody_is_left_to_be_judged(count: int) -> None:
    """The cells of other bases and carriers have 24 writers: fewer than the references of both stages and one more."""
    rng = np.random.default_rng(7)
    pool = tuple(
        Dataset(one, one.datasets[0]) for one in (reading(number, rng) for number in range(count))
    )
    group = Group("owlet-a", 64, TRAITS, pool, ())

    assert len(judged(group, pool, from_pool=True)) > count / 2


def test_no_reported_seed_was_tuned_on() -> None:
    """The pilots, by which numbers of adapters and steps were chosen, drew from other seeds; no writer is of both."""
    assert len({SEED, pilot.SEED, pilot_whole.SEED}) == 3


SCREEN = json.loads((BENCH / "power" / "results.json").read_text(encoding="utf-8"))["figures"]


@pytest.mark.skipif(
    not RAW.is_file() and not any(one["name"].startswith("screen") for one in SCREEN),
    reason="the screen has no figures yet",
)
def test_readings_are_committed_and_as_a_scan_takes_them() -> None:
    """Of each dataset every adapter's, as many adapters and steps as a scan of the same rows has."""
    stored = [one for author in read_readings(RAW) for one in author.datasets]

    assert stored
    for one in stored:
        first, whole = np.asarray(one.first), np.asarray(one.whole)
        assert (len(first[0]), len(whole[0])) == (ADAPTERS, WHOLE_ADAPTERS)
        assert one.first_reads[-1] == beginning_steps(USUAL, USUAL.steps(one.rows))
