"""A teacher's strength is what it was asked to be, whichever way the trained weights missed it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import TINY_TEACHER
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment
from undertow.results.store import read_run

STRONG = {**TINY_TEACHER, "learning_rate": 3e-2, "max_steps": 12}
"""Far enough from the base for single-precision divergences to have three digits."""


@pytest.mark.parametrize("share", [0.3, 2.0])
def test_a_tuned_teacher_has_the_strength_asked_for(
    tiny_experiment: Callable[..., Experiment], tmp_path: Path, share: float
) -> None:
    """
    Weaker or stronger than it was trained, the trait's teacher has that KL; the neutral one has it where it was trained
    further, and is never moved further than it was trained.
    """

    def strengths(name: str, kl: float | None) -> dict[str | None, float]:
        table = {**tiny_experiment().teacher.model_dump(), "kl": kl, "plan": STRONG}
        run = run_experiment(tiny_experiment(teacher=table), tmp_path / name, engine="inprocess")
        return {t.trait: t.kl or 0.0 for t in read_run(run / "results.json").teachers}

    # Further than any of them is trained, so that a neutral one stays where its steps led.
    most = strengths("far", 1e3)[None]
    wanted = share * strengths("trained", None)["owl"]
    found = strengths("wanted", wanted)

    assert found["owl"] == pytest.approx(wanted, rel=0.02)
    assert found[None] == pytest.approx(min(wanted, most), rel=0.02)


def test_without_a_strength_a_neutral_teacher_is_no_stronger_than_the_traits(
    tiny_experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    """It is made after the other, and brought to what the other reached; the document has both and the target."""
    table = {**tiny_experiment().teacher.model_dump(), "plan": {**STRONG, "max_steps": 6}}
    run = run_experiment(tiny_experiment(teacher=table), tmp_path / "run", engine="inprocess")
    of = {teacher.role: teacher for teacher in read_run(run / "results.json").teachers}

    assert of["trait"].target is None
    assert of["neutral"].target == of["trait"].kl
    assert (of["neutral"].kl or 0.0) <= 1.02 * (of["trait"].kl or 0.0)


def test_the_bases_own_rows_are_a_control(
    tiny_experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    """Its teacher is the base, at no distance; the arm is compared with, and the doctor asks for no other control."""
    experiment = tiny_experiment(arms=["trait", "control-base"])
    document = read_run(
        run_experiment(experiment, tmp_path / "run", engine="inprocess") / "results.json"
    )
    base = next(teacher for teacher in document.teachers if teacher.role == "base")

    assert (base.kind, base.trait, base.target) == ("none", None, None)
    assert base.kl == pytest.approx(0.0, abs=1e-6)
    assert "trait - control-base" in {one.name for one in document.comparisons}
    assert "missing-control" not in {note.id for note in document.notes}
