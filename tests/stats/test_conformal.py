"""Ranks among references: the definition step by step, symmetry, exact levels, what one draw guarantees, stopping."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from undertow.stats import holm
from undertow.stats.conformal import (
    SLACK,
    allowed_rank,
    guaranteed_level,
    hopeless,
    joint_statistics,
    rank_p,
    references_needed,
)

TRAITS = 16


def step_by_step(moved: list[list[float]]) -> tuple[list[list[float]], list[float]]:
    """(z, T) from the formulas, with the standard library's median."""
    columns = list(zip(*moved, strict=True))
    medians = [statistics.median(column) for column in columns]
    mads = [
        statistics.median(abs(x - m) for x in column) / statistics.NormalDist().inv_cdf(0.75)
        for column, m in zip(columns, medians, strict=True)
    ]
    shared = statistics.fmean(mad**2 for mad in mads)
    scales = [math.sqrt(mad**2 / 2 + shared / 2) for mad in mads]
    z = [[(x - m) / s for x, m, s in zip(row, medians, scales, strict=True)] for row in moved]
    return z, [max(row) for row in z]


def heavy(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Readings (*shape, TRAITS) of Student's t with 3 degrees, one factor in all traits, scales from .2 to 5."""
    common = rng.normal(size=(*shape, 1)) + rng.normal(size=(*shape, TRAITS))
    readings: np.ndarray = (
        common / np.sqrt(rng.chisquare(3, (*shape, 1))) * np.geomspace(0.2, 5, TRAITS)
    )
    return readings


def ranks(moved: np.ndarray) -> np.ndarray:
    """The p of each family of sets (families, sets, traits)."""
    return np.array([rank_p(row) for row in joint_statistics(moved).largest])


@given(seed=st.integers(0, 1000), sets=st.integers(3, 12), traits=st.integers(1, 6))
def test_statistics_are_those_of_the_formulas(seed: int, sets: int, traits: int) -> None:
    """An independent implementation agrees, odd and even numbers of sets, one trait and several."""
    moved = np.random.default_rng(seed).normal(size=(sets, traits))
    z, largest = step_by_step(moved.tolist())
    found = joint_statistics(moved)

    assert found.z == pytest.approx(np.array(z))
    assert found.largest == pytest.approx(largest)


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), unit=st.floats(0.01, 100))
def test_no_set_has_a_place_of_its_own(seed: int, unit: float) -> None:
    """Statistics go with their sets to the last bit; a trait's offset, the order of traits and the unit do not matter."""
    rng = np.random.default_rng(seed)
    moved = heavy(rng, 9)
    sets, traits = rng.permutation(9), rng.permutation(TRAITS)
    found = joint_statistics(moved)
    other = joint_statistics(unit * moved[:, traits] + rng.normal(size=TRAITS))

    assert (joint_statistics(moved[sets]).largest == found.largest[sets]).all()
    assert (joint_statistics(moved[:, traits]).largest == found.largest).all()
    assert other.z == pytest.approx(found.z[:, traits], rel=1e-6, abs=1e-6)


@given(seed=st.integers(0, 1000))
def test_two_sided_statistics_do_not_know_the_sign(seed: int) -> None:
    """All readings turned round give the same statistics, which are the larger of both sides."""
    moved = heavy(np.random.default_rng(seed), 8)
    up, down = joint_statistics(moved), joint_statistics(-moved)
    both = joint_statistics(moved, two_sided=True)

    assert (both.largest == joint_statistics(-moved, two_sided=True).largest).all()
    assert (both.largest == np.maximum(up.largest, down.largest)).all()


def test_families_are_taken_each_by_itself() -> None:
    """Leading axes hold families of sets."""
    moved = heavy(np.random.default_rng(0), 4, 7)
    each_alone = [joint_statistics(family).largest for family in moved]

    assert (joint_statistics(moved).largest == np.stack(each_alone)).all()


def test_sets_that_are_all_equal_have_no_outlier() -> None:
    """Every z is 0 and p is 1."""
    found = joint_statistics(np.full((6, 3), 0.7))

    assert not found.z.any()
    assert rank_p(found.largest) == 1


def test_most_sets_equal_still_order_the_others() -> None:
    """Where every median deviation is 0 the mean deviation scales: the two that differ stand in their order, finite."""
    moved = np.zeros((7, 2))
    moved[0, 1], moved[1, 1] = 3.0, 1.0
    found = joint_statistics(moved)
    mean = math.sqrt(math.pi / 2) * 4 / 7

    assert found.z[:, 1] == pytest.approx(moved[:, 1] / math.sqrt(mean**2 / 2 + mean**2 / 4))
    assert rank_p(found.largest) == 1 / 7


def test_a_trait_without_spread_is_scaled_by_the_others() -> None:
    """Its s is the root of half the mean of squares, not 0."""
    moved = np.array([[1.0, 0.5], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0], [5.0, 0.0]])
    scale = math.sqrt((1 / statistics.NormalDist().inv_cdf(0.75)) ** 2 / 4)

    assert joint_statistics(moved).z[0, 1] == pytest.approx(0.5 / scale)


def test_a_dataset_that_is_one_of_the_references_ties_with_it() -> None:
    """However far out both lie, p is 2 / (J + 1) at least."""
    moved = heavy(np.random.default_rng(3), 20)
    moved[0] += 1000
    moved[7] = moved[0]

    assert rank_p(joint_statistics(moved).largest) == 2 / 20


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_p_counts_who_reaches_the_dataset(values: list[int]) -> None:
    """Against its definition; so it lies on the grid 1 / (J + 1), ..., 1."""
    expected = Fraction(1 + sum(v >= values[0] for v in values[1:]), len(values))

    assert rank_p(values) == float(expected)


def test_a_difference_of_rounding_is_a_tie() -> None:
    """What differs in the last digits counts against the dataset, of either sign."""
    assert rank_p([0.1 + 0.2, 0.3, 0.0]) == 2 / 3
    assert rank_p([-0.3, -0.1 - 0.2, -9.0]) == 2 / 3


@settings(max_examples=60)
@given(subjects=st.integers(1, 400), alpha=st.sampled_from([0.05, 0.01, 0.1, 0.29, 0.1 / 3]))
def test_holm_can_reject_every_subject_with_the_references_needed(
    subjects: int, alpha: float
) -> None:
    """The least p, alone of all subjects, is adjusted to alpha at most; with one reference fewer it is above."""
    exact = Fraction(alpha).limit_denominator(1000)
    needed = references_needed(subjects, alpha)
    adjusted = holm([rank_p([1.0, *[0.0] * needed]), *[1.0] * (subjects - 1)]).min()

    assert Fraction(subjects, needed + 1) <= exact < Fraction(subjects, needed)
    assert adjusted <= float(exact)


@settings(max_examples=60)
@given(references=st.integers(1, 300), alpha=st.sampled_from([0.05, 0.01, 0.1, 0.07, 0.29, 0.5]))
def test_the_allowed_rank_is_where_p_reaches_alpha(references: int, alpha: float) -> None:
    """p <= alpha with k - 1 references above the dataset, not with k."""
    rank = allowed_rank(references, alpha)
    p = [rank_p([0.5, *[1.0] * above, *[0.0] * (references - above)]) for above in (rank - 1, rank)]

    assert rank == 0 or p[0] <= alpha
    assert p[1] > alpha


@pytest.mark.parametrize("references", [19, 59, 199])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_the_guaranteed_level_is_a_binomial_tail(references: int, alpha: float) -> None:
    """A draw's level exceeds u where fewer than k of J uniform levels lie below u: 5 % of draws at the guaranteed u."""
    rank = allowed_rank(references, alpha)
    level = guaranteed_level(references, alpha)

    assert stats.binom.cdf(rank - 1, references, level) == pytest.approx(0.05)
    assert guaranteed_level(references, alpha, 0.5) < level


def test_known_guarantees() -> None:
    """59 references are the fewest by which 5 % are guaranteed, as in nonparametric tolerance limits (Wilks 1941)."""
    assert guaranteed_level(58, 1 / 59) > 0.05
    assert guaranteed_level(59, 1 / 60) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert guaranteed_level(18, 0.05) == 0


@pytest.mark.parametrize(("references", "families"), [(19, 6000), (59, 3000)])
def test_the_level_is_exact_for_dependent_heavy_tails(references: int, families: int) -> None:
    """Exchangeable sets, one factor in 16 traits, Student's t with 3 degrees: P(p <= .05) is .05."""
    p = ranks(heavy(np.random.default_rng(references), families, references + 1))
    rejected = int((p <= 0.05).sum())

    assert stats.binomtest(rejected, families, 0.05).pvalue > 0.01
    assert stats.binomtest(int((p <= 0.5).sum()), families, 0.5).pvalue > 0.01


def test_the_level_of_one_draw_follows_the_beta_law() -> None:
    """Of 400 draws of 59 normal references, the chance of exceeding the k-th largest; k by `allowed_rank`."""
    rank = allowed_rank(59, 0.05)
    drawn = np.sort(np.random.default_rng(2).normal(size=(400, 59)))
    levels = stats.norm.sf(drawn[:, -rank])

    assert stats.kstest(levels, stats.beta(rank, 60 - rank).cdf).pvalue > 0.01
    assert np.mean(levels > guaranteed_level(59, 0.05)) == pytest.approx(0.05, abs=0.03)


def test_the_guarantee_holds_under_the_joint_scale_too() -> None:
    """Though the dataset enters the medians: about 5 % of draws of 19 references have a level above the guaranteed."""
    rng, above = np.random.default_rng(5), 0
    for _ in range(120):
        kept, new = heavy(rng, 19), heavy(rng, 200)
        moved = np.concatenate([new[:, None], np.broadcast_to(kept, (200, 19, TRAITS))], axis=1)
        above += np.mean(ranks(moved) <= 0.05) > guaranteed_level(19, 0.05)

    assert stats.binomtest(above, 120, 0.05, alternative="greater").pvalue > 0.01


def test_holm_over_sources_keeps_the_level_of_the_family() -> None:
    """Three benign sources beside the same 59 references: any of them stands out in 5 % of families at most."""
    families, needed = 2000, references_needed(3, 0.05)
    moved = heavy(np.random.default_rng(7), families, needed + 3)
    p = np.stack(
        [ranks(np.concatenate([moved[:, [s]], moved[:, 3:]], axis=1)) for s in range(3)], axis=1
    )
    alarms = sum(holm(family).min() <= 0.05 for family in p)

    assert needed == 59
    assert stats.binomtest(alarms, families, 0.05, alternative="greater").pvalue > 0.01


def stopped_at(moved: np.ndarray, alpha: float, slack: int = SLACK) -> np.ndarray:
    """After how many references each family (families, sets, traits) was given up; J + 1 for never."""
    families, sets, _ = moved.shape
    first = np.full(families, sets)
    for n in range(1, sets - 1):
        going = np.flatnonzero(first == sets)
        for i, row in zip(going, joint_statistics(moved[going, : n + 1]).largest, strict=True):
            if hopeless(row, sets - 1, alpha, slack=slack):
                first[i] = n
    return first


def test_stopping_keeps_the_level_and_spares_references() -> None:
    """Benign datasets among 19 planned: 5 % at most stand out, after 7 references on average."""
    moved = heavy(np.random.default_rng(11), 2500, 20)
    first = stopped_at(moved, 0.05)
    alarms = int((ranks(moved[first == 20]) <= 0.05).sum())

    assert stats.binomtest(alarms, 2500, 0.05, alternative="greater").pvalue > 0.01
    assert np.minimum(first, 19).mean() < 8.5


def test_stopping_costs_a_moved_dataset_little_power() -> None:
    """Of datasets of which the whole design finds half, stopping at once loses a third, slack few."""
    moved = np.random.default_rng(12).normal(size=(500, 20, TRAITS))
    moved[:, 0, 0] += 4
    out = ranks(moved) <= 0.05
    lost = [np.mean(out & (stopped_at(moved, 0.05, slack) < 20)) for slack in (0, SLACK)]

    assert 0.4 < out.mean() < 0.8
    assert lost[1] < 0.1 < 0.2 < lost[0]


def test_a_dataset_that_is_never_stopped_reports_its_p_and_others_one() -> None:
    """The reported p of benign datasets is super-uniform at every attainable value."""
    moved = heavy(np.random.default_rng(13), 1500, 20)
    reported = np.where(stopped_at(moved, 0.05) < 20, 1.0, ranks(moved))

    assert all(np.mean(reported <= k / 20) < k / 20 + 0.015 for k in range(1, 20))


def test_a_design_that_cannot_reject_is_hopeless_at_once() -> None:
    """18 references never give p <= .05."""
    assert hopeless([5.0], 18, 0.05)
    assert not hopeless([5.0], 19, 0.05)


@given(values=st.lists(st.floats(-9, 9), min_size=1, max_size=40), slack=st.integers(0, 3))
def test_stopped_datasets_could_not_stand_out_if_statistics_stayed(
    values: list[float], slack: int
) -> None:
    """With as many references above, p is above alpha whatever the other references will be."""
    planned = 39
    best = rank_p([*values, *[-99.0] * (planned + 1 - len(values))])

    assert not hopeless(values, planned, 0.05, slack=slack) or best > 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: joint_statistics([1.0, 2.0]), r"\(\.\.\., sets, traits\) and not empty"),
        (lambda: joint_statistics(np.empty((0, 3))), "not empty, got shape"),
        (
            lambda: joint_statistics([[1.0], [math.nan]]),
            r"moved must be finite, got nan at \(1, 0\)",
        ),
        (lambda: rank_p([]), "at least 1 value"),
        (lambda: rank_p([math.inf, 1.0]), "must be finite"),
        (lambda: references_needed(0, 0.05), "subjects must be a whole number of at least 1"),
        (lambda: references_needed(1, 1.0), "alpha must lie in"),
        (lambda: allowed_rank(0, 0.05), "references must be a whole number of at least 1"),
        (lambda: guaranteed_level(19, 0.05, 1.0), "confidence must lie in"),
        (lambda: hopeless([1.0, 2.0, 3.0], 1, 0.05), "2 references are more than the 1 planned"),
        (lambda: hopeless([1.0], 19, 0.05, slack=-1), "slack must be a whole number of at least 0"),
    ],
)
def test_refuses_what_it_cannot_use(call: object, message: str) -> None:
    """Each fault is named with its value."""
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
