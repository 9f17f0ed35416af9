"""Reviewers' scores: reading answers, exact statistics, and what several reviewers say together."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from statsmodels.stats.inter_rater import fleiss_kappa as reference_kappa
from statsmodels.stats.proportion import proportion_confint

from undertow.data.json_records import LONGEST_LINE
from undertow.data.rows import Row
from undertow.errors import DataError, NothingLeftError
from undertow.review.review_pack import Answers, KeyPair, Named, ReviewKey, blinded, read_answers
from undertow.review.review_score import (
    PooledReviewers,
    Review,
    ReviewerScore,
    binomial_p,
    detectable_accuracy,
    fleiss_kappa,
    review_json,
    score,
)

PAIRS = 20


def key_of(pairs: int = PAIRS, *, seed: int = 1, repeat: int = 0) -> ReviewKey:
    """The key of a pack of so many pairs."""
    a, b = (Named(name, [Row((), f"{name} {n}") for n in range(pairs)]) for name in ("owl", "no"))
    return blinded(a, b, pairs=pairs, seed=seed, repeat=repeat)[1]


KEY = key_of()


def wrong(pair: KeyPair) -> str:
    """The side that is not A's."""
    return "left" if pair.a == "right" else "right"


def reviewer(
    right: int, *, of: int = PAIRS, unsure: int = 0, name: str = "r", key: ReviewKey = KEY
) -> Answers:
    """A reviewer who decides the first `of` pairs, so many of them rightly, and then cannot tell."""
    decided = {pair.pair: pair.a if pair.pair <= right else wrong(pair) for pair in key.judged[:of]}
    left = {pair.pair: "unsure" for pair in key.judged[of : of + unsure]}
    return Answers(name, decided | left)


def scored(*answers: Answers, key: ReviewKey = KEY) -> Review:
    """The review with a fixed source of randomness."""
    return score(key, answers, np.random.default_rng(0))


def together(*answers: Answers, key: ReviewKey = KEY) -> PooledReviewers:
    """What several reviewers say together."""
    pooled = scored(*answers, key=key).pooled
    assert pooled is not None
    return pooled


def alone(answers: Answers, key: ReviewKey = KEY) -> ReviewerScore:
    """The score of the only reviewer."""
    return scored(answers, key=key).reviewers[0]


def text_of(given: Mapping[int, str], pack: str = KEY.pack) -> str:
    """Answers as the page writes them."""
    return "pack,pair,answer\n" + "".join(f"{pack},{n},{each}\n" for n, each in given.items())


def file_of(folder: Path, content: str | bytes) -> Path:
    """A file of answers."""
    path = folder / "answers.csv"
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def test_answers_are_read(tmp_path: Path) -> None:
    """In any case and with spaces; an empty one is no answer."""
    file = file_of(tmp_path, text_of({1: "left", 2: " Right ", 3: "UNSURE", 4: ""}))

    assert read_answers(file, KEY).given == {1: "left", 2: "right", 3: "unsure"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_what_a_spreadsheet_saves_is_read(tmp_path: Path, delimiter: str, encoding: str) -> None:
    """The filled-in table with its texts of several lines, whatever separates and encodes it."""
    table = io.StringIO()
    writer = csv.writer(table, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(["pack", "pair", "left", "right", "answer"])
    writer.writerow([KEY.pack, 1, 'é, "owl";\nand\tmore', "b", "left"])
    file = file_of(tmp_path, table.getvalue().encode(encoding))

    assert read_answers(file, KEY).given == {1: "left"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text_of({1: "left"}, pack="pack-0"), "line 2: the pack is 'pack-0'; allowed: 'pack-"),
        (text_of({21: "left"}), "line 2: there is no pair '21'; allowed: 1 to 20"),
        (text_of({0: "left"}), "line 2: there is no pair '0'"),
        (text_of({1: "left", 2: "lef"}), "line 3: the answer to pair 2 is 'lef'; allowed: left"),
        (text_of({1: "left"}) + f"{KEY.pack},1,left\n", "line 3: pair 1 has been .* in line 2"),
        (text_of({1: ""}) + f"{KEY.pack},1,left\n", "line 3: pair 1 has been .* in line 2"),
        (f"{KEY.pack},x,left\n", "line 1: found the columns .*; needed, once each: 'pack'"),
        ("pair,answer\n1,left\n", "line 1: found the columns 'pair', 'answer'"),
        ("", "line 1: found the columns"),
        (f'pack,pair,text,answer\n{KEY.pack},1,"a\nb",left\n{KEY.pack},9,,no\n', "line 4: the "),
        ("pack,pair,answer\n" + "9" * (LONGEST_LINE + 1), "line 2: not valid CSV"),
    ],
)
def test_wrong_answers_are_named_by_file_and_line(
    tmp_path: Path, content: str, message: str
) -> None:
    """Another pack, no such pair, no such answer, a pair twice, no header: each has its line."""
    with pytest.raises(DataError, match=rf"answers\.csv', {message}"):
        read_answers(file_of(tmp_path, content), KEY)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """No traceback, but the name."""
    with pytest.raises(DataError, match=r"no such file: .*gone"):
        read_answers(tmp_path / "gone.csv", KEY)


def test_a_reviewer_is_counted() -> None:
    """Right, decided, can't tell and open make up the pack, and half of "can't tell" counts beside."""
    found = alone(reviewer(9, of=12, unsure=4))

    assert (found.decided.correct, found.decided.of, found.decided.accuracy) == (9, 12, 0.75)
    assert (found.unsure, found.unanswered) == (4, 4)
    assert found.accuracy_half == 11 / 16


@given(st.integers(1, PAIRS))
def test_all_right_has_the_least_p(n: int) -> None:
    """n of n right: p is 2^(1 - n), as it is for all wrong."""
    right, none = alone(reviewer(n, of=n)), alone(reviewer(0, of=n))

    assert right.decided.p == pytest.approx(2.0 ** (1 - n))
    assert none.decided.p == right.decided.p
    assert (right.decided.high, none.decided.low) == (1, 0)


@given(st.integers(0, PAIRS), st.integers(0, PAIRS))
def test_a_reviewer_agrees_with_scipy_and_statsmodels(k: int, rest: int) -> None:
    """p and interval by independent implementations."""
    n = min(PAIRS, k + rest) or 1
    share = alone(reviewer(min(k, n), of=n)).decided
    limits = proportion_confint(share.correct, n, method="beta")

    assert share.p == pytest.approx(binomtest(share.correct, n).pvalue)
    assert (share.low, share.high) == pytest.approx(limits, abs=1e-9)


def test_cannot_tell_leaves_the_test_as_it_is() -> None:
    """The same decided answers with and without doubts have the same p and interval."""
    sure, doubting = alone(reviewer(9, of=12)), alone(reviewer(9, of=12, unsure=8))

    assert sure.decided == doubting.decided
    assert (sure.accuracy_half, doubting.accuracy_half) == (0.75, 13 / 20)


def test_who_decides_nothing_has_no_accuracy() -> None:
    """Beside another reviewer such a one is listed; alone there is nothing to score."""
    doubts = reviewer(0, of=0, unsure=PAIRS)

    assert scored(doubts, reviewer(15)).reviewers[0].decided.accuracy is None
    assert together(doubts, reviewer(15)).reviewers == 1
    with pytest.raises(NothingLeftError, match="none of the 1 reviewers"):
        scored(doubts)


def test_repeats_count_for_agreement_alone() -> None:
    """Answers to repeated pairs change no score; choosing the same row on another side agrees."""
    key = key_of(repeat=10)
    first = {pair.pair: pair.a for pair in key.judged}
    again = {
        pair.pair: pair.a if pair.pair % 2 else wrong(pair) for pair in key.pairs if pair.repeats
    }
    found = alone(Answers("r", first | again), key)

    assert (found.decided.correct, found.decided.of, found.unanswered) == (PAIRS, PAIRS, 0)
    assert (found.repeats, found.repeats_same) == (10, 5)


@pytest.mark.parametrize("n", [6, 20, 50, 137])
def test_the_detectable_accuracy_has_the_power(n: int) -> None:
    """At that accuracy the exact test rejects upwards with probability 0.8, by scipy's distributions."""
    least = min(k for k in range(n // 2 + 1, n + 1) if binomtest(k, n).pvalue <= 0.05)
    accuracy = detectable_accuracy(n)

    assert accuracy is not None
    assert binom.sf(least - 1, n, accuracy) == pytest.approx(0.8)


@pytest.mark.parametrize("n", range(6))
def test_so_few_answers_detect_nothing(n: int) -> None:
    """Under 6 answers no result is significant."""
    assert detectable_accuracy(n) is None


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=2, max_size=12))
def test_kappa_agrees_with_statsmodels(ratings: list[list[int]]) -> None:
    """Fleiss' kappa of four raters by an independent implementation, where it is defined."""
    counts = [[row.count(category) for category in range(3)] for row in ratings]
    kappa, _ = fleiss_kappa(counts)

    if kappa is not None:
        assert kappa == pytest.approx(reference_kappa(np.array(counts)), abs=1e-9)
    else:
        assert len({category for row in ratings for category in row}) == 1


def test_agreement_needs_everyone() -> None:
    """Only pairs that all answered are compared; "can't tell" is an answer."""
    pooled = together(reviewer(20), reviewer(10, of=12, unsure=2), reviewer(20, of=16))

    assert pooled.agreement_pairs == 14
    assert pooled.agreement == pytest.approx((10 + 4 / 3) / 14)


def test_copies_of_a_reviewer_add_nothing() -> None:
    """Five files with the same answers are one opinion: the p over pairs and of the majority stay."""
    one = alone(reviewer(13, of=17)).decided
    pooled = together(*(reviewer(13, of=17, name=str(n)) for n in range(5)))

    assert (pooled.majority, pooled.pairs_p) == (one, pytest.approx(one.p))
    assert binomial_p(pooled.correct, pooled.of) < one.p / 100


def test_pooled_counts() -> None:
    """Two who agree outvote a third; a pair that all leave open is a tie."""
    pooled = together(reviewer(12, of=16), reviewer(12, of=16), reviewer(2, of=16))

    assert (pooled.correct, pooled.of, pooled.ties) == (26, 48, 4)
    assert (pooled.majority.correct, pooled.majority.of) == (12, 16)


def test_the_test_over_reviewers_takes_each_as_one() -> None:
    """Six who are all above 1/2 give 2 / 2^6; five can give no p of .05, and no power."""
    many = [reviewer(12 + n, name=str(n)) for n in range(6)]
    six, five = together(*many), together(*many[:5])

    assert (six.reviewers_p, five.reviewers_p) == (2 / 64, 2 / 32)
    assert (six.reviewers_detectable is None, five.reviewers_detectable) == (False, None)


def test_the_test_over_pairs_holds_its_level_where_reviewers_think_alike() -> None:
    """
    Eight who follow one rule that has nothing to do with the dataset: 5 % of packs are significant.

    Over reviewers far more are, which is why that test does not give the verdict.
    """
    rng = np.random.default_rng(3)
    over_pairs = over_reviewers = 0
    for seed in range(200):
        rule = rng.integers(0, 2, 16)
        differs = rng.random((8, 16)) < 0.1
        sides = np.array(["left", "right"])[rule ^ differs]
        several = [Answers(str(n), dict(enumerate(row.tolist(), 1))) for n, row in enumerate(sides)]
        pooled = together(*several, key=key_of(16, seed=seed))
        over_pairs += pooled.pairs_p <= 0.05
        over_reviewers += pooled.reviewers_p <= 0.05

    assert binomtest(over_pairs, 200, 0.05, alternative="greater").pvalue > 0.01
    assert over_reviewers > 60


def test_one_who_guesses_is_covered() -> None:
    """Over 400 packs a reviewer who sees nothing is significant in at most 5 %, and 1/2 is in 95 %."""
    shares = [
        alone(Answers("r", dict.fromkeys(range(1, 21), "left")), key_of(seed=seed)).decided
        for seed in range(400)
    ]
    rejected = sum(share.p <= 0.05 for share in shares)
    missed = sum(not (share.low or 0) <= 0.5 <= (share.high or 0) for share in shares)

    assert binomtest(rejected, 400, 0.05, alternative="greater").pvalue > 0.01
    assert binomtest(missed, 400, 0.05, alternative="greater").pvalue > 0.01


def test_the_document_is_json_with_its_schema() -> None:
    """It can be read back as it was; a single reviewer has nothing pooled."""
    review = scored(reviewer(9, name="ü\n"))
    document = json.loads(review_json(review))

    assert document["schema"] == "undertow.review/1"
    assert document["pooled"] is None
    assert Review.model_validate(document) == review


def test_the_same_answers_give_the_same_document() -> None:
    """Randomness comes from outside, so that scores can be made again, byte for byte."""
    many = [reviewer(12 + n, name=str(n)) for n in range(3)]

    assert review_json(scored(*many)) == review_json(scored(*many))
    assert not re.search("NaN|Infinity", review_json(scored(*many)))
