"""A factorial's effects: planted ones are found, the picture shows every combination, and tiny students run it whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from undertow.lab.cells import CONTROL
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment
from undertow.lab.factorial import factorial_effects
from undertow.lab.jobs import Made
from undertow.report import render
from undertow.results.run_document import Arm
from undertow.results.store import read_run
from undertow.studies.experiments import load_experiment

Maker = Callable[..., Experiment]

PLANTED = np.array([-0.2, 0.3, 0.4, 0.1, 0.05])
"""Half of each factor's effect, in their order: rank, rate, rows, epochs, optimiser."""

TINY_FACTORS = {
    "words": ["AB"],
    "across": ["rows"],
    "trades": [["rows", "rank"]],
    "factors": [
        {
            "name": "rank",
            "low": {"label": "rank 1", "student": {"rank": 1}},
            "middle": {"label": "rank 2", "student": {"rank": 2}},
            "high": {"label": "rank 4", "student": {"rank": 4}},
        },
        {
            "name": "optimiser",
            "low": {"label": "SGD", "student": {"optimizer": "sgd", "learning_rate": 0.1}},
            "high": {"label": "AdamW", "student": {"optimizer": "adamw_torch"}},
        },
        {
            "name": "rows",
            "low": {"label": "8 rows", "rows": 8},
            "middle": {"label": "12 rows", "rows": 12},
            "high": {"label": "16 rows", "rows": 16, "times": 2},
        },
    ],
}


def _made(experiment: Experiment, noise: float) -> Made:
    """Students whose transfer is the planted sum, a teacher's own level, and noise."""
    rng = np.random.default_rng(4)
    assert experiment.factorial is not None
    students = []
    for block in range(experiment.replicates):
        level = 1 + 0.3 * rng.standard_normal()
        for point in experiment.factorial.block(block):
            moved = level + PLANTED @ np.array(point.signs) + noise * rng.standard_normal()
            control = 0.1 * rng.standard_normal()
            for arm, margin in ((point.name, control + moved), (point.name + CONTROL, control)):
                shared = {"trait": "owl", "replicate": block, "base": "b"}
                students.append(Arm(arm=arm, logit_margin=margin, **shared))
    return Made((), (), students=tuple(students))


def test_planted_effects_are_found() -> None:
    """Every factor's, what rows do more than epochs, and nothing between factors."""
    experiment = load_experiment("rank-rate-rows")
    concluded = factorial_effects(experiment, _made(experiment, 0.05))
    estimates = [c.estimate for c in concluded.comparisons]

    assert estimates[:5] == pytest.approx(2 * PLANTED, abs=0.05)
    assert estimates[5] == pytest.approx(2 * (PLANTED[2] - PLANTED[3]), abs=0.07)
    assert estimates[6:] == pytest.approx([0] * 11, abs=0.07)


def test_intervals_hold_what_was_planted_and_the_sentence_names_what_holds() -> None:
    """16 comparisons and a curvature, each with p by Holm over all of them; small effects are told from none by none."""
    experiment = load_experiment("rank-rate-rows")
    concluded = factorial_effects(experiment, _made(experiment, 0.3))
    rows = concluded.comparisons[2]
    told, _, held = concluded.sentence.partition("Told from none after Holm's correction: ")

    assert rows.low < 0.8 < rows.high
    assert rows.adjusted == pytest.approx(17 * rows.p) or rows.adjusted >= rows.p
    assert "8,192 rows - 2,048 rows" in held
    assert "AdamW - SGD" in told


def test_the_picture_has_all_combinations() -> None:
    """Eight rows of rank, rate and optimiser by four columns of rows and epochs, each the mean of two blocks with their own levels taken out."""
    experiment = load_experiment("rank-rate-rows")
    [picture] = factorial_effects(experiment, _made(experiment, 0.0)).matrices

    assert (len(picture.rows), len(picture.columns)) == (8, 4)
    assert picture.columns[1] == "2,048 rows, four times"
    assert picture.values[7][3] - picture.values[7][0] == pytest.approx(1.0, abs=1e-9)


def test_a_tiny_factorial_runs_and_its_page_leads_with_the_picture(
    tiny_experiment: Maker, tmp_path: Path
) -> None:
    """Two optimisers, two ranks, two sizes of data; a student and its control a point."""
    experiment = tiny_experiment(kind="factorial", factorial=TINY_FACTORS, replicates=4)
    run = run_experiment(experiment, tmp_path / "run", engine="inprocess")
    document = read_run(run / "results.json")
    students = [arm for arm in document.arms if arm.arm != "base"]

    assert len(students) == 4 * (4 + 1) * 2
    assert {arm.rows for arm in students} == {8, 12, 16}
    assert "Mean transfer of every combination" in render(document, "html").split("<h2", 1)[0]
