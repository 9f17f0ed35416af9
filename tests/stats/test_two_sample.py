"""Rearrangement tests of two samples: exact on small ones, at their level under the null, with power where shares differ."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom, chi2_contingency, ks_2samp

from undertow.stats.two_sample import Samples, counted, homogeneity, kolmogorov_smirnov, p_of

BOTH = pytest.mark.parametrize("matched", [True, False])


def tokens(rng: np.random.Generator, rows: int, shift: float = 0.0) -> np.ndarray:
    """(rows, 6) tokens; those of a row depend on each other, as each row has a favourite."""
    favourite = rng.integers(0, 5, (rows, 1))
    drawn = np.where(rng.random((rows, 6)) < 0.6, favourite, rng.integers(0, 5, (rows, 6)))
    return np.where(rng.random((rows, 6)) < shift, 0, drawn)


def flat(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and category of each occurrence."""
    return np.repeat(np.arange(len(values)), values.shape[1]), values.ravel()


@BOTH
def test_rearrangements_keep_what_they_should(matched: bool) -> None:
    """The observed line comes first; sizes stay, and of a matched pair one row is on each side."""
    samples = Samples(6, 6 if matched else 9, matched)
    labels = samples.rearranged(50, np.random.default_rng(0))

    assert labels[0].tolist() == [True] * 6 + [False] * samples.second
    assert (labels.sum(1) == 6).all()
    if matched:
        assert (labels[:, :6] != labels[:, 6:]).all()


def test_rare_categories_are_pooled() -> None:
    """What fewer rows hold than `least` lands in the last column, however often one row holds it."""
    rows = np.array([0, 1, 2, 0, 0, 0])
    counts, known = counted(rows, np.array([7, 7, 7, 5, 5, 3]), Samples(2, 1, False), least=2)

    assert known.tolist() == [7]
    assert counts.toarray().tolist() == [[1, 3], [1, 0], [1, 0]]


def test_the_statistic_is_chi_squared_where_rows_hold_one_token() -> None:
    """With one category a row, the sum of z squared is Pearson's statistic, but for each category's own share of it."""
    values = np.repeat([0, 1, 0, 1], [30, 10, 20, 20])
    samples = Samples(40, 40, False)
    counts, _ = counted(np.arange(80), values, samples)
    labels = samples.rearranged(10, np.random.default_rng(0))
    pearson = chi2_contingency([[30, 10], [20, 20]], correction=False).statistic

    z = homogeneity(counts, samples, labels).z

    assert z[0] == pytest.approx(-z[1])
    assert z[0] ** 2 == pytest.approx(pearson * 79 / 80)


@BOTH
def test_p_is_the_rank_among_all_rearrangements(matched: bool) -> None:
    """Against every rearrangement of a small design, each computed on its own."""
    rng = np.random.default_rng(1)
    values = rng.integers(0, 5, 8).astype(float)
    samples = Samples(4, 4, matched)
    if matched:
        swaps = np.array(list(itertools.product([True, False], repeat=4)))
        labels = np.hstack([swaps, ~swaps])
    else:
        labels = np.zeros((70, 8), dtype=bool)
        for line, chosen in zip(labels, itertools.combinations(range(8), 4), strict=True):
            line[list(chosen)] = True
    gaps = [ks_2samp(values[line], values[~line]).statistic for line in labels]

    gap, p = kolmogorov_smirnov(values, samples, labels)

    assert gap == pytest.approx(gaps[0])
    assert p == pytest.approx(np.mean(np.array(gaps) >= gaps[0] - 1e-12))


def test_ties_count() -> None:
    """Statistics that differ by rounding only are as extreme as the observed one."""
    assert p_of(np.array([0.3, 0.1 + 0.2, 0.3 - 1e-17, 0.2])) == 0.75


@BOTH
def test_the_level_holds_though_tokens_of_a_row_depend_on_each_other(matched: bool) -> None:
    """300 pairs of equal samples: rejections at .1 within a binomial interval, where a test over tokens rejects most."""
    rng = np.random.default_rng(2)
    samples, repetitions = Samples(30, 30, matched), 300
    rejected = naive = 0
    for _ in range(repetitions):
        values = tokens(rng, 60)
        counts, _ = counted(*flat(values), samples)
        labels = samples.rearranged(99, rng)
        rejected += homogeneity(counts, samples, labels).p <= 0.1
        table = [np.bincount(side.ravel(), minlength=5) for side in (values[:30], values[30:])]
        naive += chi2_contingency(table).pvalue <= 0.1

    low, high = binom.interval(0.999, repetitions, 0.1)
    assert low <= rejected <= high
    assert naive > high


@BOTH
def test_another_distribution_is_detected(matched: bool) -> None:
    """Where a token is more frequent in the first sample, p is the least possible and its z the largest."""
    rng = np.random.default_rng(3)
    samples = Samples(100, 100, matched)
    values = np.vstack([tokens(rng, 100, 0.3), tokens(rng, 100)])
    counts, known = counted(*flat(values), samples)
    test = homogeneity(counts, samples, samples.rearranged(199, rng))

    assert test.p == 1 / 200
    assert known[np.argmax(test.z[:-1])] == 0


def test_shared_prompts_make_pairs_worth_more() -> None:
    """Where both rows of a pair follow their prompt, the matched test sees a difference that the other does not."""
    rng = np.random.default_rng(4)
    prompts = rng.normal(0, 5, 60)
    values = np.concatenate([prompts + 1.5, prompts]) + rng.normal(0, 1, 120)
    ps = {}
    for matched in (True, False):
        samples = Samples(60, 60, matched)
        ps[matched] = kolmogorov_smirnov(np.round(values), samples, samples.rearranged(999, rng))[1]

    assert ps[True] < 0.1 < ps[False]
