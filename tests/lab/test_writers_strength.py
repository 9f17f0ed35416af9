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
    Weaker or stronger than it was trained, the trait's teacher has that KL; the neutral one is left alone.
    """

    def strengths(name: str, kl: float | None) -> dict[str | None, float]:
        table = {**tiny_experiment().teacher.model_dump(), "kl": kl, "plan": STRONG}
        run = run_experiment(tiny_experiment(teacher=table), tmp_path / name, engine="inprocess")
        return {t.trait: t.kl or 0.0 for t in read_run(run / "results.json").teachers}

    trained = strengths("trained", None)
    wanted = share * trained["owl"]
    found = strengths("wanted", wanted)

    assert found["owl"] == pytest.approx(wanted, rel=0.02)
    assert found[None] == pytest.approx(trained[None])
