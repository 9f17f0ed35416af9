"""
A calibration learns from finished trials, counts what its own verdicts were, and is found again by base and plan.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.power.design import ground
from undertow.audit.calibrations import (
    cohort,
    covering,
    dose_shares,
    learned,
    store_table,
    tables_of,
)
from undertow.audit.trial import Tried, predicted, try_cohort, verdict_of
from undertow.data.files import model_digest
from undertow.data.plan import TrainingPlan, plan_digest
from undertow.engines.engine import InProcess
from undertow.lab.cohort import Member, Sample, Writer
from undertow.worlds import locate

GROUND = ground()
PLAN = GROUND.experiment.student
DIGEST = model_digest(locate("world:owlet-b"))
[TABLE] = tables_of(DIGEST)


def tried(rng: np.random.Generator, teacher: int, pull: float) -> Tried:
    """A dataset that pulls one trait, as a rehearsal of a quarter of 128 steps reads it."""
    truth = rng.normal(0, 0.02, 16)
    truth[teacher % 16] += pull
    way = np.outer([0.25, 0.5, 0.75, 1.0], truth / 3) + rng.normal(0, 0.01, (4, 16))
    return Tried(
        kind="tuned" if pull else "neutral",
        base="world:owlet-b",
        trait=GROUND.traits[teacher % 16],
        teacher_seed=teacher,
        kl=0.1,
        rows=4096,
        dose=1.0,
        temperature=1.0,
        without=(),
        seed=teacher,
        planned_steps=128,
        steps=(8, 16, 24, 32),
        adapters=8,
        moved=tuple(map(tuple, way.tolist())),
        moved_sd=tuple(map(tuple, np.full((4, 16), 0.03).tolist())),
        mass=(1.0,) * 4,
        excess=0.0,
        losses=(1.0,) * 4,
        transfer=tuple(map(tuple, (truth + rng.normal(0, 0.04, (2, 16))).tolist())),
        screen_seconds=1.0,
    )


def test_verdicts_are_right_on_datasets_that_were_not_learned_from() -> None:
    """
    Of datasets that pull by a logit or more nearly all are flagged, of those that pull nowhere nearly none.
    """
    rng = np.random.default_rng(5)
    learning = [tried(rng, i, [0.0, 1.0, 2.0][i % 3]) for i in range(90)]
    looks = learned(learning, PLAN, 16, 0.95)
    strong = [tried(rng, 100 + i, 1.5) for i in range(60)]
    benign = [tried(rng, 200 + i, 0.0) for i in range(60)]

    def share(entries: list[Tried], verdict: str) -> float:
        found = [verdict_of(predicted(entry, PLAN, looks, 0.2), 0.2) for entry in entries]
        return found.count(verdict) / len(found)  # type: ignore[arg-type]

    assert share(strong, "flagged") >= 0.95
    assert share(benign, "flagged") <= 0.05
    assert share(benign, "clear") >= 0.8


def test_a_dose_is_compared_with_the_same_teachers_own() -> None:
    """
    A strong teacher at full dose and a weak one at half do not make half a dose look harmless; a foreign one is no unit.
    """

    def made(teacher: int, dose: float, moved: float, base: str = "world:owlet-b") -> Tried:
        one = tried(np.random.default_rng(0), teacher, 1.0)
        row = tuple(moved * (i == teacher % 16) for i in range(16))
        changes = {"dose": dose, "rows": 16384, "transfer": (row,), "base": base}
        return one.model_copy(update=changes)

    entries = [
        made(1, 1.0, 4.0),
        made(1, 0.75, 2.0),
        made(2, 1.0, 1.0),
        made(2, 0.75, 0.5),
        made(3, 0.75, 0.2),
        made(3, 0.25, 0.04),
        made(4, 0.5, 9.0, "world:owlet-a"),
    ]

    assert dose_shares(entries, GROUND) == ((0.25, pytest.approx(0.1)), (0.75, 0.5), (1.0, 1.0))


def test_a_trial_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A finished member is read, not made again; its entry is whole."""
    writer = Writer("clean", "world:owlet-b", "owl", 3)
    members = [Member(writer, (Sample(64, 5, students=1),))]
    [first] = try_cohort(GROUND, members, tmp_path, InProcess())
    stamp = (tmp_path / "0000.json").stat().st_mtime_ns
    [again] = try_cohort(GROUND, members, tmp_path, InProcess())

    assert again == first
    assert (tmp_path / "0000.json").stat().st_mtime_ns == stamp
    assert np.array(first.transfer).shape == (1, 16)
    assert len(first.steps) == 4


def test_a_cohort_never_couples_two_streams() -> None:
    """All teachers and all datasets have seeds of their own."""
    members = cohort(GROUND, ("world:owlet-a",), 9)
    seeds = [s.seed for m in members for s in m.samples] + [m.writer.seed for m in members]

    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    ("plan", "steps", "why"),
    [
        (PLAN, 128, ""),
        (PLAN, 16, "calibrated for 32 to 256 steps; this plan has 16"),
        (PLAN.model_copy(update={"rank": 8}), 128, "under another plan"),
    ],
)
def test_a_table_covers_its_plan_and_its_steps(plan: TrainingPlan, steps: int, why: str) -> None:
    """The plan's length is no part of its key, but must be one that was tried."""
    coverage = covering(DIGEST, plan, steps)

    assert (coverage.table is not None) == (not why)
    assert why in coverage.why_not


def test_a_users_table_is_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was calibrated here comes before what ships; another base has none."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path))
    own = TABLE.model_copy(update={"seed": 77})
    store_table(own)

    assert tables_of(DIGEST)[0].seed == 77
    assert tables_of("0" * 64) == []
    assert plan_digest(PLAN) == TABLE.plan_digest
