"""The screen's figures are by size, no writer counts twice, and none is its own reference."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest

from bench.figures import BENCH, Figure
from bench.power import pilot, pilot_whole
from bench.power.__main__ import RAW, hours_left
from bench.power.analysis import REFERENCES, Dataset, Group, groups, judged, mean_clustered
from bench.power.cells import SEED, authors
from bench.power.raw_readings import read_readings
from bench.power.readings import AuthorReading
from bench.power.screen_figures import figures, interval_figures
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


@pytest.mark.long
def test_every_figure_is_of_one_size() -> None:
    """
    Its name says which; what is seen at one size is not averaged with what is missed at another. All of them can be stored.
    """
    rng = np.random.default_rng(0)
    pool = [of_two_sizes(number, rng) for number in range(REFERENCES + 2)]
    pulled = [of_two_sizes(number, rng, "trait", 0.15) for number in range(2)]
    made = figures([*pool, *pulled], "")
    measured = [one.name for one in made]
    json.dumps([asdict(one) for one in made])
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


def moved_alike(number: int, rng: np.random.Generator, pull: float) -> AuthorReading:
    """A teacher whose rows have a shift of their own, which their adapters and their four students share."""
    made = reading(number, rng, role="trait", pull=pull)
    [one] = made.datasets
    center = pull * np.eye(16)[0] + rng.normal(0, 0.03, 16)
    noise = rng.normal(0, 0.05, (12, 16))
    changes = {
        "whole": (center + noise[None, :8]).tolist(),
        "students": (center + noise[8:]).tolist(),
    }
    return made.model_copy(update={"datasets": (one.model_copy(update=changes),)})


def by_name(readings: list[AuthorReading]) -> dict[str, Figure]:
    """The screen's figures, without the cell and size that all of them have here."""
    return {one.name.partition(" rows: ")[2]: one for one in figures(readings, "")}


def test_intervals_hold_what_students_did_as_often_as_they_say() -> None:
    """
    Of 30 teachers' rows, by 100 draws of references: 93 to 97.5 %. Beside the references' own mean, whose scatter the
    interval allows for, it would be 98 % or more.
    """
    rng = np.random.default_rng(12)
    pool = [reading(number, rng) for number in range(60)]
    teachers = [moved_alike(number, rng, 0.4) for number in range(30)]
    [group] = groups([*pool, *teachers], TRAITS)
    [covered] = interval_figures("", group, judged(group, group.tested))

    assert 0.93 <= (covered.value or 0) <= 0.975
    assert covered.met


def test_clear_is_wrong_where_students_surely_moved() -> None:
    """
    Two of eight teachers move students by .5 and the adapters by nothing: of the clear ones a quarter is wrong, of those that
    moved, and of their traits, all of those that are clear.
    """
    rng = np.random.default_rng(13)
    pool = [reading(number, rng) for number in range(40)]
    still = [reading(number, rng, role="trait") for number in range(8)]
    hidden = [
        one.model_copy(
            update={
                "datasets": tuple(
                    each.model_copy(
                        update={
                            "students": (np.asarray(each.students) + 0.5 * np.eye(16)[3]).tolist()
                        }
                    )
                    for each in one.datasets
                )
            }
        )
        for one in still[:2]
    ]
    made = by_name([*pool, *hidden, *still[2:]])
    wrong = "clear although students surely moved"
    of_clear = made[f"{wrong}, of datasets that are clear"]
    of_moved = made[f"{wrong}, of datasets that surely moved them"]
    of_traits = made[
        f"below the limit although {wrong.partition(' although ')[2]}, of traits that surely moved"
    ]

    assert (of_clear.value or 0) == pytest.approx(0.25, abs=0.1)
    assert (of_moved.value or 0) > 0.5
    assert (of_traits.value or 0) >= (of_moved.value or 0)
    assert [one.met for one in (of_clear, of_moved, of_traits)] == [False] * 3
    assert all(one.low is not None and one.low <= (one.value or 0) for one in (of_clear, of_traits))


def test_what_a_scan_takes_is_told_in_planned_trainings() -> None:
    """Two of eight steps twice is half a training; of benign rows a third of 19 references is made, of pulled ones all."""
    rng = np.random.default_rng(14)
    pool = [reading(number, rng) for number in range(40)]
    made = by_name([*pool, *(reading(n, rng, role="trait", pull=1.0) for n in range(4))])
    benign, pulled = (
        made[f"{kind}: stage 1 and its references"].value or 0
        for kind in ("in-family rows", "rows with a trait")
    )

    assert made["stage 1 with references kept"].value == 0.5
    assert made["stage 1 with references kept"].met
    assert pulled == 0.5 * 20
    assert 0.5 * 9 <= benign < 0.5 * 15
    assert made["rows with a trait: both stages and their references"].value == pulled + 16
    assert made["moved by 0.5 or more: stands out before it is given up"].value == 1


def test_verdicts_of_both_stages_are_held_against_students() -> None:
    """Who is within moved nothing and who stands out moved, each with an interval."""
    rng = np.random.default_rng(15)
    pool = [reading(number, rng) for number in range(40)]
    some = [reading(n, rng, role="trait", pull=float(n % 2)) for n in range(12)]
    made = by_name([*pool, *some])
    within, out = (
        made[f"really moved, where it says '{verdict}'"] for verdict in ("within", "stands out")
    )

    assert within.value == 0
    assert (out.value or 0) > 0.9
    assert (within.high or 0) > 0


def test_a_dry_run_counts_the_steps_that_are_left() -> None:
    """At the pace of those that are there."""
    planned = authors(TRAITS)
    first = {0: 60.0}
    twice = {0: 120.0}

    assert hours_left(planned, twice) == pytest.approx(2 * hours_left(planned, first))
    assert hours_left(planned, dict.fromkeys(range(len(planned)), 1.0)) == 0
    assert 0 < hours_left(planned, first, ["main"]) < hours_left(planned, first)


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
