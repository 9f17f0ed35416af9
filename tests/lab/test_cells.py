"""Cells and points: who shares a teacher, which combinations stand in a block, and what a job carries of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from undertow.errors import UnknownNameError
from undertow.lab.cells import FactorialTable, StatementsTable
from undertow.lab.design import design
from undertow.lab.experiment import Experiment
from undertow.lab.writers import plan_of
from undertow.studies.experiments import load_experiment

Maker = Callable[..., Experiment]

CELLS = [
    {"name": "clean", "writers": [{"role": "base"}]},
    {"name": "own", "against": ["clean"]},
    {"name": "two", "writers": [{}, {"number": 2}], "against": ["own", "clean"]},
    {"name": "steered", "writers": [{"teacher": {"kind": "steered", "strength": 2.0}}]},
    {"name": "slow", "student": {"learning_rate": 1e-4}, "rows": 8, "against": ["own"]},
]


def _table() -> FactorialTable:
    table = load_experiment("rank-rate-rows").factorial
    assert table is not None
    return table


def test_blocks_together_hold_every_combination_once() -> None:
    """And each a part in which the product of a word's factors has one sign."""
    table = _table()
    blocks = [[p.signs for p in table.block(n) if not p.is_centre] for n in range(table.blocks)]
    products = [{s[0] * s[1] * s[3] for s in block} for block in blocks]

    assert sorted(itertools.chain(*blocks)) == sorted(itertools.product((-1, 1), repeat=5))
    assert all(len(product) == 1 for product in products)
    assert [p.signs for p in table.block(4)][:-1] == blocks[0]


def test_effects_and_pairs_are_clear_of_blocks_and_of_each_other() -> None:
    """What the words say: blocks take the place of three-factor interactions only."""
    table = _table()
    runs = [(n, p.signs) for n in range(4) for p in table.block(n) if not p.is_centre]
    signs = np.array([signs for _, signs in runs], float)
    pairs = [signs[:, i] * signs[:, j] for i, j in itertools.combinations(range(5), 2)]
    blocks = [np.array([float(n == block) for n, _ in runs]) for block in range(4)]
    effects = np.column_stack([*signs.T, *pairs])

    assert np.abs(effects.T @ effects - 32 * np.eye(15)).max() == 0
    assert np.abs(effects.T @ np.column_stack(blocks)).max() == 0


def test_centres_take_a_factor_without_a_middle_by_turns() -> None:
    """Each fraction's centre has either optimiser once in eight blocks; the others stand in the middle."""
    centres = [_table().block(number)[-1].signs for number in range(8)]

    assert {signs[:4] for signs in centres} == {(0, 0, 0, 0)}
    assert all(centres[n][4] == -centres[n + 4][4] for n in range(4))


def test_a_point_multiplies_its_optimisers_own_rate() -> None:
    """The rate is a share of what the optimiser's level gives, and is in the job's plan."""
    experiment = load_experiment("rank-rate-rows")
    jobs = {job.arm: job for job in design(experiment).students}
    plan = plan_of(experiment, jobs["rank 32, a third of the rate, 2,048 rows, four times, SGD"])
    full = plan_of(experiment, jobs["rank 32, the usual rate, 2,048 rows, four times, AdamW"])

    assert (plan.optimizer, plan.epochs, plan.rank) == ("sgd", 4, 32)
    assert plan.learning_rate == pytest.approx(1 / 3, rel=1e-3)
    assert full.learning_rate == 3e-3


def test_writers_that_are_described_alike_are_one_teacher(tiny_experiment: Maker) -> None:
    """Two cells of one writer read one dataset, as large as the larger asks for; all seeds differ."""
    jobs = design(tiny_experiment(kind="cells", cells=CELLS, replicates=2))
    of = {(s.arm, s.replicate): s for s in jobs.students}
    seeds = [job.seed for job in (*jobs.teachers, *jobs.datasets, *jobs.students)]

    assert of["two", 1].data == of["own", 1].data == of["slow", 1].data
    assert of["own", 1].data.size == 16
    assert len(set(seeds)) == len(seeds) == 2 * (4 + 4 + 5)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cells": [{"name": "a"}, {"name": "a"}]}, "two cells are called 'a'"),
        ({"cells": [{"name": "a", "student": {"rnak": 2}}]}, "rnak"),
        ({"cells": [{"name": "a", "writers": [{"teacher": {"kind": "magic"}}]}]}, "magic"),
        (
            {"cells": [{"name": "a"}, {"name": "b", "against": ["a"], "beside": ["a"]}]},
            "'a' names no control",
        ),
    ],
)
def test_faults_are_told_when_the_file_is_read(
    tiny_experiment: Maker, changes: dict[str, object], told: str
) -> None:
    """Not after an hour of training."""
    with pytest.raises(ValidationError, match=told):
        tiny_experiment(kind="cells", **changes)


def test_a_factorial_says_how_many_replicates_hold_it(tiny_experiment: Maker) -> None:
    """And refuses a factor, a word or a size of data that there is not."""
    table = _table().model_dump()
    carrier = {**tiny_experiment().carrier.model_dump(), "rows": 8_192}
    with pytest.raises(ValidationError, match="it takes 4 blocks"):
        tiny_experiment(kind="factorial", factorial=table, replicates=6, carrier=carrier)
    with pytest.raises(ValidationError, match=r"carrier\.rows is 16"):
        tiny_experiment(kind="factorial", factorial=table, replicates=8)
    with pytest.raises(ValidationError, match="no word"):
        FactorialTable.model_validate(table | {"words": ["ABZ"]})
    with pytest.raises(ValidationError, match="no factor is called 'size'"):
        FactorialTable.model_validate(table | {"across": ["size"]})


def test_statements_name_cells_that_there_are(tiny_experiment: Maker) -> None:
    """And an experiment without the table keeps its digest."""
    stated = tiny_experiment(kind="cells", cells=CELLS, statements={"without": ["clean"]})

    assert stated.statements == StatementsTable(without=("clean",))
    assert "statements" not in tiny_experiment(kind="cells", cells=CELLS).resolved
    with pytest.raises(UnknownNameError, match="cleen"):
        tiny_experiment(kind="cells", cells=CELLS, statements={"without": ["cleen"]})
