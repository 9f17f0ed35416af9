"""A factorial's effects: planted ones are found, the picture shows every combination, and tiny students run it whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtr

from undertow.lab.cells import CONTROL
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment
from undertow.lab.factorial import _column, _Transfer, factorial_effects
from undertow.lab.jobs import Made
from undertow.report import render
from undertow.results.run_document import Arm
from undertow.results.store import read_run
from undertow.stats.regression import clustered_least_squares
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
    held, _, rest = concluded.sentence.partition("Not told from none: ")

    assert rows.low < 0.8 < rows.high
    assert rows.adjusted == pytest.approx(17 * rows.p) or rows.adjusted >= rows.p
    assert "8,192 rows than with 2,048 rows +0." in held
    assert "AdamW - SGD" in rest


def test_the_picture_has_all_combinations() -> None:
    """Eight rows of rank, rate and optimiser by four columns of rows and epochs, each the mean of two blocks with their own levels taken out."""
    experiment = load_experiment("rank-rate-rows")
    [picture] = factorial_effects(experiment, _made(experiment, 0.0)).matrices

    assert (len(picture.rows), len(picture.columns)) == (8, 4)
    assert picture.columns[1] == "2,048 rows, four times"
    assert "Each is the mean of 2 blocks, and no interval can be told of it" in picture.caption
    assert picture.values[7][3] - picture.values[7][0] == pytest.approx(1.0, abs=1e-9)


def test_the_caption_tells_the_centre_which_no_cell_shows() -> None:
    """Its mean over blocks, beside the corners."""
    experiment = load_experiment("rank-rate-rows")
    made = _made(experiment, 0.0)
    assert experiment.factorial is not None
    names = {p.name for b in range(8) for p in experiment.factorial.block(b) if p.is_centre}
    treated = [s.logit_margin for s in made.students if s.arm in names]
    beside = [s.logit_margin for s in made.students if s.arm in {n + CONTROL for n in names}]
    [picture] = factorial_effects(experiment, made).matrices

    assert picture.caption.endswith(
        f"is not among them: {np.mean(treated) - np.mean(beside):+.2f}."
    )


@pytest.mark.long
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


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_effects_are_told_from_none_as_rarely_as_they_say(spread: float) -> None:
    """On the design of eight blocks that ships, blocks alike or not, at 5 % and at Holm's first step of seventeen."""
    experiment, rng, sets = load_experiment("rank-rate-rows"), np.random.default_rng(7), 20_000
    table = experiment.factorial
    assert table is not None
    points = [(point, block) for block in range(8) for point in table.block(block)]
    columns = np.array([_column(table, _Transfer(*place, 0.0), 8) for place in points])
    of = np.array([block for _, block in points])
    fit = clustered_least_squares(columns, np.zeros(of.size), of.tolist())
    moved = rng.standard_normal((of.size, sets))
    for block in range(8):
        own = spread * rng.standard_normal((columns.shape[1] - 8, sets))
        moved[of == block] += columns[of == block, 8:] @ own
    for place in (0, 1, 15):  # the factor of fewest degrees of freedom, a usual one, the centre
        weights = np.zeros(columns.shape[1])
        weights[8 + place] = 2.0
        estimates = weights @ fit.inverse @ columns.T @ moved
        average, degrees = fit._reference(weights)
        errors = np.sqrt((((fit.paths @ weights) @ moved) ** 2).sum(axis=0) / average)
        p = 2 * stdtr(degrees, -np.abs(estimates) / errors)

        assert 0.045 <= np.mean(p <= 0.05) <= 0.055
        assert 0.0015 <= np.mean(p <= 0.05 / 17) <= 0.0045


def test_an_effect_is_what_the_level_was_shown_of() -> None:
    """The p of a factor is that of its estimate over the error and the degrees of freedom that were simulated."""
    rng = np.random.default_rng(8)
    columns, of = np.column_stack([np.ones(24), rng.standard_normal((24, 2))]), np.arange(24) % 4
    moved = rng.standard_normal(24)
    fit, weights = clustered_least_squares(columns, moved, of.tolist()), np.array([0.0, 1.0, 0.0])
    average, degrees = fit._reference(weights)
    error = np.sqrt((((fit.paths @ weights) @ moved) ** 2).sum() / average)

    assert fit.effect(weights).p == pytest.approx(
        2 * stdtr(degrees, -abs(fit.coefficients[1]) / error)
    )
