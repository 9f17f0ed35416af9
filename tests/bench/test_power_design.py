"""
The design of the bench is fixed, balanced as promised, and shares no seed with the calibration.
"""

from __future__ import annotations

from bench.power.design import SEED, STUDENT, ground, members
from undertow.audit.calibrations import cohort, tables_of
from undertow.data.files import model_digest
from undertow.lab.cohort import BENIGN
from undertow.worlds import locate

GROUND = ground()
MEMBERS = members(GROUND.traits)
[TABLE] = tables_of(model_digest(locate(STUDENT)))


def test_it_is_the_same_each_time() -> None:
    """Teachers, seeds and order are derived, not drawn."""
    assert members(GROUND.traits) == MEMBERS


def test_there_are_enough_benign_datasets_and_teachers() -> None:
    """600 datasets, 100 of their teachers trained."""
    benign = [m for m in MEMBERS if m.writer.kind in BENIGN or m.writer.base != STUDENT]
    trained = [m for m in benign if m.writer.kind != "clean"]

    assert sum(len(m.samples) for m in benign) == 600
    assert len({m.writer.seed for m in trained}) == 100


def test_no_seed_is_one_that_a_weight_was_learned_from() -> None:
    """Neither teachers nor datasets of the calibration are in the bench."""
    learned = cohort(GROUND, ("world:owlet-a", "world:owlet-neox"), TABLE.seed)
    used = {m.writer.seed for m in learned} | {s.seed for m in learned for s in m.samples}
    here = {m.writer.seed for m in MEMBERS} | {s.seed for m in MEMBERS for s in m.samples}

    assert TABLE.seed != SEED
    assert not used & here


def test_each_real_transfer_has_two_students() -> None:
    """Where students are trained at all, there are two."""
    assert {s.students for m in MEMBERS for s in m.samples} == {0, 2}


def test_the_plan_is_the_tables() -> None:
    """The table that ships covers the bench's plan and all its sizes."""
    plan = GROUND.experiment.student
    sizes = {s.rows for m in MEMBERS for s in m.samples}

    assert all(TABLE.fewest_steps <= plan.steps(rows) <= TABLE.most_steps for rows in sizes)
