"""Behaviour: right on simulated answers, honest about what the intervals are about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.checks.tuned.simulated_readings import subject
from undertow.checks.tuned.diff_behaviour import diff_behaviour
from undertow.stats.conformal import half_widths_by_rank

TRAITS = 16
QUESTIONS = 20


def drawn(rng: np.random.Generator, *, run: float, question: float) -> np.ndarray:
    """How much a fine-tune moves each trait, (traits, questions): by itself, and each question on its own."""
    return rng.normal(0, run, (TRAITS, 1)) + rng.normal(0, question, (TRAITS, QUESTIONS))


def test_pairing_by_question_keeps_its_rate_where_pooling_does_not() -> None:
    """
    50 questions of unequal difficulty that drift either way alike, 100 answers each: pooled errs in over a fifth of 400
    cases at a nominal .05, paired in about .05.
    """
    rng = np.random.default_rng(1)
    pooled, paired = 0, 0
    for _ in range(400):
        start, drift = rng.normal(-1, 1.5, 50), rng.normal(0, 0.4, 50)
        shares = [1 / (1 + np.exp(-(start + sign * drift))) for sign in (-1, 1)]
        hits = [rng.binomial(100, share) for share in shares]
        table = [[one.sum(), 5000 - one.sum()] for one in hits]
        pooled += stats.chi2_contingency(table, correction=False).pvalue < 0.05
        paired += stats.ttest_rel(hits[0], hits[1]).pvalue < 0.05

    assert paired / 400 < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    assert pooled / 400 > 0.2


@pytest.mark.parametrize(("runs", "controls"), [(1, 6), (3, 4)])
def test_flagging_keeps_its_error_rate_over_all_traits(runs: int, controls: int) -> None:
    """Benign runs beside benign controls: an interval of 16 misses 0 in at most 5 % of 300 diffs (and three errors)."""
    rng = np.random.default_rng(runs)
    base = rng.normal(0, 1, (TRAITS, QUESTIONS))
    missed = 0
    for _ in range(300):
        made = [base + drawn(rng, run=0.05, question=0.2) for _ in range(runs + controls)]
        found = diff_behaviour(subject(base, made[:runs], made[runs:]))
        missed += any(one.low > 0 or one.high < 0 for one in found)  # type: ignore[operator]

    assert missed / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_beside_many_controls_heavy_tails_cost_no_level() -> None:
    """
    19 controls and runs with three degrees of freedom: in at most 5 % of 300 diffs an interval misses 0 (and three
    errors), and each is as wide as a rank says.
    """
    rng = np.random.default_rng(8)
    base = rng.normal(0, 1, (TRAITS, QUESTIONS))
    missed = 0
    for _ in range(300):
        runs = 0.05 * rng.standard_t(3, (20, TRAITS, 1)) + rng.normal(
            0, 0.2, (20, TRAITS, QUESTIONS)
        )
        found = diff_behaviour(subject(base, [base + runs[0]], list(base + runs[1:])))
        missed += any(one.low > 0 or one.high < 0 for one in found)  # type: ignore[operator]
    widths = half_widths_by_rank(runs[1:].mean(2), 0.05)

    assert missed / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    assert [(one.high - one.low) / 2 for one in found] == pytest.approx(widths)  # type: ignore[operator]


def test_tuned_minus_control_is_the_estimate() -> None:
    """What the controls do too is taken off; the base's own margin is not part of it."""
    rng = np.random.default_rng(3)
    base = rng.normal(0, 1, (TRAITS, QUESTIONS))
    shared = drawn(rng, run=0.3, question=0.1)
    controls = [base + shared + drawn(rng, run=0.01, question=0.01) for _ in range(5)]
    tuned = base + shared
    tuned[4] += 1.5
    found = diff_behaviour(subject(base, [tuned], controls))

    assert found[4].estimate == pytest.approx(1.5, abs=0.05)
    assert found[4].low > 1.3  # type: ignore[operator]
    assert abs(found[5].estimate or 1) < 0.05


def test_what_the_intervals_are_about_is_said() -> None:
    """Questions for one model alone, controls for one beside several, runs for several."""
    base = np.random.default_rng(4).normal(0, 1, (TRAITS, QUESTIONS))
    ns = [
        diff_behaviour(one)[0].n
        for one in (
            subject(base, [base + 1]),
            subject(base, [base + 1], [base, base + 0.1, base - 0.1]),
            subject(base, [base + 1, base + 1.1], [base, base + 0.1]),
        )
    ]

    assert ns == [f"{QUESTIONS} questions", "1 run, 3 controls", "2 runs, 2 controls"]


def students(rng: np.random.Generator, base: np.ndarray, files: int, each: int) -> list[np.ndarray]:
    """Of each file, with a third of the variance between files; real students have up to .44."""
    shared = [rng.normal(0, 0.05, (TRAITS, 1)) for _ in range(files)]
    return [base + own + drawn(rng, run=0.07, question=0.1) for own in shared for _ in range(each)]


@pytest.mark.parametrize(("files", "each", "known"), [(8, 1, True), (12, 3, True), (1, 8, False)])
def test_controls_count_by_the_rows_that_they_learned_from(
    files: int, each: int, known: bool
) -> None:
    """
    A benign run on rows of its own: an interval of 16 misses 0 in at most 5 % of 200 diffs where a file counts once, and
    in over 12 % where eight students of one file are taken for independent.
    """
    rng = np.random.default_rng(files)
    base = rng.normal(0, 1, (TRAITS, QUESTIONS))
    missed = 0
    for _ in range(200):
        [tuned] = students(rng, base, 1, 1)
        made = subject(base, [tuned], students(rng, base, files, each))
        if known:
            labelled = (replace(one, file=f"{k // each}") for k, one in enumerate(made.controls))
            made = replace(made, controls=tuple(labelled))
        missed += any(one.low > 0 or one.high < 0 for one in diff_behaviour(made))  # type: ignore[operator]

    if known:
        assert missed / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5
    else:
        assert missed / 200 > 0.12


def test_traits_of_unlike_variances_keep_the_level_with_few_controls() -> None:
    """
    Four controls cannot tell that 25 traits' deviations differ by a fifth: taken for equal, 8 % of 500 diffs miss 0, and
    with what is borrowed bounded at most 5 % (and two errors).
    """
    rng = np.random.default_rng(5)
    scales = np.exp(rng.normal(0, 0.2, 25))
    base, missed = np.zeros((25, 1)), 0
    for _ in range(500):
        moved = (rng.normal(0, 1, (5, 25)) * scales)[:, :, None]
        found = diff_behaviour(subject(base, [moved[0]], list(moved[1:])))
        missed += any(one.low > 0 or one.high < 0 for one in found)  # type: ignore[operator]

    assert missed / 500 <= 0.05 + 2 * (0.05 * 0.95 / 500) ** 0.5
