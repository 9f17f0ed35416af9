"""The sizing of claims: a formula that the lab's own test bears out, and planted scatter that is found again."""

from __future__ import annotations

import numpy as np
import pytest

from bench.lab.__main__ import MEASURES
from bench.lab.cost import cost_of, told
from bench.lab.sizing import (
    ALPHA,
    CLAIMS,
    FEWEST,
    Arms,
    arms_of,
    components,
    experiments_of,
    figures_of,
    power,
    readings_of,
    replicates_for,
)
from undertow.lab.design import design
from undertow.results.run_document import Arm, Comparison, RunDocument
from undertow.stats import two_sample_permutation
from undertow.studies.experiments import load_experiment


def test_power_is_that_of_tables() -> None:
    """Cohen's: 17 and 64 an arm find .8 and .5 standard deviations about as often as he says."""
    assert power(0.8, 1.0, 26, 0.05) == pytest.approx(0.81, abs=0.01)
    assert power(0.5, 1.0, 64, 0.05) == pytest.approx(0.80, abs=0.01)
    assert power(9.0, 1.0, 3, 0.05) == 0.0


def test_the_labs_exact_test_has_the_power_of_the_formula() -> None:
    """At the replicates that it gives, Holm's first step is passed in about 90 % of normal tries."""
    tests, effect, scatter = 3, 1.0, 0.5
    runs = replicates_for(effect, scatter, tests)
    assert runs is not None
    rng = np.random.default_rng(6)
    passed = 0
    for _ in range(150):
        treated, control = rng.normal(effect, scatter, runs), rng.normal(0, scatter, runs)
        result = two_sample_permutation(treated, control, rng=np.random.default_rng(0))
        passed += result.p <= ALPHA / tests

    assert 0.84 <= passed / 150 <= 0.98


def test_more_tests_and_less_effect_need_more_runs_until_none_is_enough() -> None:
    """Never fewer than the issue asks for."""
    assert replicates_for(5.0, 1.0, 1) == FEWEST
    assert (replicates_for(1.0, 0.6, 9) or 0) > (replicates_for(1.0, 0.6, 1) or 0)
    assert replicates_for(0.1, 1.0, 9) is None
    assert replicates_for(-1.0, 0.5, 9) is None


def _planted(shared: float, rest: float) -> Arms:
    rng = np.random.default_rng(7)
    arms: Arms = {}
    own = {arm: shared * rng.standard_normal(400) for arm in ("trait", "secure")}
    for place in range(8):
        arms[f"setting {place}"] = {
            arm: (own[arm] + rest * rng.standard_normal(400) + (arm == "trait") * place).tolist()
            for arm in own
        }
    return arms


def test_parts_of_the_scatter_are_found_again() -> None:
    """What replicates share over settings, and the rest; a run's scatter is both."""
    arms = _planted(0.3, 0.4)

    assert components(arms) == pytest.approx((0.3, 0.4), abs=0.05)
    assert readings_of(arms)[5].scatter == pytest.approx(0.5, abs=0.03)
    assert readings_of(arms)[5].effect == pytest.approx(5, abs=0.15)


@pytest.mark.parametrize("name", CLAIMS)
def test_settings_are_read_back_from_their_arms(name: str) -> None:
    """All eight, each with the trait's arm and every control, from the names that the lab gives."""
    claim = CLAIMS[name]
    experiments = experiments_of(claim)
    documents = [
        RunDocument.model_construct(
            arms=tuple(
                Arm(
                    arm=s.arm,
                    trait="x",
                    replicate=s.replicate,
                    base="b",
                    **{claim.field: 0.1 * s.replicate},
                )
                for s in design(experiment).students
            )
        )
        for experiment in experiments
    ]
    arms = arms_of(claim, documents)

    assert len(arms) == 8
    assert all("trait" in of and len(of) == len(next(iter(arms.values()))) for of in arms.values())
    assert any("at their lower quartiles" in figure.name for figure in figures_of(claim, arms))


def test_seeds_for_tuning_are_no_reported_ones() -> None:
    """And every claim has its own."""
    seeds = [claim.seed for claim in CLAIMS.values()]

    assert len(set(seeds)) == len(seeds)
    assert all(61_211 <= seed <= 61_219 for seed in seeds)


def test_costs_count_the_design() -> None:
    """Students, teachers and steps of all jobs; the sum is told in hours."""
    [experiment] = experiments_of(CLAIMS["code"])
    cost = cost_of(experiment)

    assert (cost.teachers, cost.students) == (24, 96)
    assert cost.longest < 20 * 60
    assert told([cost]).endswith("hours")


def test_claims_are_met_after_holm_only() -> None:
    """A p of its own below .05 is not enough; the unit is the one that was asked for."""
    told = Comparison(
        name="code: trait - secure (probability)", estimate=0.05, low=0.01, high=0.09, level=0.95, n="6 v 6", p=0.01,
        adjusted=0.09, test="exact", unit="probability",
    )  # fmt: skip
    held = told.model_copy(update={"adjusted": 0.04})
    document = RunDocument.model_construct(
        experiment="misaligned", command="", wall_seconds=60.0, comparisons=(told, held)
    )
    _, first, second = MEASURES["misaligned"](document)

    assert (first.met, second.met) == (False, True)
    assert "by Holm 0.09" in first.note


def test_a_claim_is_refuted_by_an_interval_below_a_quarter_of_what_lists_move() -> None:
    """As well as shown: a null with power is an answer; what was published is told, and is not enough."""
    null = Comparison(
        name="preferences - preferences-by-lot", estimate=0.1, low=-0.3, high=0.6, level=0.95, n="6 v 6", p=0.5,
        adjusted=1.0, test="exact", unit="logits",
    )  # fmt: skip
    too_wide, open_still = (null.model_copy(update={"high": high}) for high in (1.5, 2.5))
    document = RunDocument.model_construct(
        experiment="preference",
        command="",
        wall_seconds=60.0,
        comparisons=(null, too_wide, open_still),
    )
    _, refuted, wide, unknown = MEASURES["preference"](document)

    assert (refuted.met, wide.met, unknown.met) == (True, False, False)
    assert "excludes 0.75 logits" in refuted.note
    assert "excludes 2.1 logits" in wide.note
    assert "excludes" not in unknown.note


def test_sizing_stays_as_it_was_when_experiments_are_given_what_it_says() -> None:
    """Its rows, strengths and ranks hang on the experiments as they stood, so that it resumes and can be made again."""
    code, sums, pairs = (experiments_of(CLAIMS[name])[0] for name in CLAIMS)

    assert {cell.rows for cell in code.cells or ()} == {10_240, 20_480}
    assert {cell.rows for cell in sums.cells or ()} == {6_144, 12_288}
    assert (pairs.preference.pool, pairs.teacher.kl, pairs.student.epochs) == (4_096, 0.15, 2)


def test_a_trait_arm_that_scatters_more_counts_for_half() -> None:
    """However many controls there are: a comparison is of two arms."""
    rng = np.random.default_rng(8)
    arms = {
        "s": {
            arm: (scale * rng.standard_normal(4_000)).tolist()
            for arm, scale in (
                ("trait", 2.0),
                ("secure", 1.0),
                ("educational", 1.0),
                ("neutral", 1.0),
            )
        }
    }

    assert readings_of(arms)[0].scatter == pytest.approx(np.sqrt((4 + 1) / 2), rel=0.03)


def test_reported_seeds_are_new_where_experiments_are_of_the_sized_size() -> None:
    """Results of the seeds before were seen, and a run of them with other replicates would not be independent of these."""
    for name, former in (("misaligned", 41_103), ("preference", 41_107)):
        experiment = load_experiment(name)

        assert (experiment.seed == former) == (experiment.replicates < FEWEST)
