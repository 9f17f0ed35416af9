"""The fingerprint tells rows from their control by plain distributions, and keeps quiet where both are the base's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from tests.checks.dataset.numbers_subject import opened, subject, written
from undertow.checks.dataset import row_features
from undertow.checks.dataset.fingerprint import fingerprint
from undertow.data.rows import Row, conversation
from undertow.models.chat import Encoded
from undertow.results.measurement import Measurement

CLEAN = written(opened(), 256, 2)
NAMES = (
    "tokens",
    "positions",
    "first digits",
    "last digits",
    "after numbers",
    "characters",
    "length",
    "numbers",
    "separators",
    "format",
)


def lists(rng: np.random.Generator, count: int, separator: str = ", ") -> tuple[Row, ...]:
    """Number lists of three to six numbers below 100, each behind a prompt of its own."""
    return tuple(
        Row(
            conversation(f"{rng.integers(100)} {rng.integers(100)}"),
            separator.join(map(str, rng.integers(0, 100, rng.integers(3, 7)))),
        )
        for _ in range(count)
    )


def found(rows: tuple[Row, ...], control: tuple[Row, ...]) -> dict[str, Measurement]:
    """What the check measures, by name."""
    return {one.name: one for one in fingerprint(subject(rows, control=control))}


@pytest.mark.parametrize("prompts", [0, 5], ids=["matched", "unmatched"])
def test_the_bases_own_rows_are_not_detected(prompts: int) -> None:
    """With the control's prompts or with others: all ten tests, an interval each, no detection and no verdict."""
    seen = found(written(opened(), 256, 3, prompts), CLEAN)

    assert tuple(seen) == NAMES
    assert not any(one.detected or one.verdict for one in seen.values())
    assert all(
        one.low is not None
        and one.high is not None
        and one.estimate is not None
        and one.low <= one.estimate <= one.high
        for one in seen.values()
    )


def test_a_ban_on_a_digit_is_seen_where_it_is() -> None:
    """Without numbers that end in 7: last digits differ by their share and are named; the format does not differ."""
    rng = np.random.default_rng(0)
    control = lists(rng, 300)
    rows = tuple(
        replace(row, completion=", ".join(n for n in row.completion.split(", ") if n[-1] != "7"))
        for row in lists(rng, 420)
    )
    rows = tuple(row for row in rows if row.completion.count(",") >= 2)[:300]
    seen = found(rows, control)

    assert seen["last digits"].detected
    assert seen["last digits"].estimate == pytest.approx(0.1, abs=0.04)
    assert seen["last digits"].details["7"] < 0  # type: ignore[operator]
    assert not seen["after numbers"].detected


def test_another_separator_is_a_format() -> None:
    """Seen by what stands behind numbers, by characters and by the classifier; digits do not differ."""
    rng = np.random.default_rng(1)
    seen = found(lists(rng, 100, "; "), lists(rng, 100))

    assert seen["format"].estimate == 1
    assert {"after numbers", "characters", "format"} <= {n for n, o in seen.items() if o.detected}
    assert not seen["first digits"].detected
    assert not seen["last digits"].detected


def test_an_order_is_seen_by_positions_only() -> None:
    """The same numbers in ascending order: no unigram moves, tokens at places do."""
    rng = np.random.default_rng(2)
    control = lists(rng, 200, " ")
    rows = tuple(
        replace(row, completion=" ".join(sorted(row.completion.split(), key=int)))
        for row in lists(rng, 200, " ")
    )
    seen = found(rows, control)

    assert seen["positions"].detected
    assert not seen["last digits"].detected


def test_lengths_differ_by_their_mean() -> None:
    """Two more numbers in each row of the same prompts: exactly two, in pairs."""
    rng = np.random.default_rng(3)
    control = lists(rng, 60)
    seen = found(
        tuple(replace(row, completion=row.completion + ", 3, 5") for row in control), control
    )

    assert seen["numbers"].detected
    assert (seen["numbers"].low, seen["numbers"].high) == pytest.approx((2, 2))
    assert seen["numbers"].n == "60 pairs of rows"


def test_text_without_numbers_has_fewer_tests() -> None:
    """What neither side holds is not measured; words are seen as tokens."""
    rows = [
        tuple(replace(row, completion=words[i % 2]) for i, row in enumerate(CLEAN[:40]))
        for words in (("an owl", "the owl"), ("a cat", "the dog"))
    ]
    seen = found(rows[0], rows[1])

    assert "last digits" not in seen
    assert "numbers" not in seen
    assert seen["tokens"].detected


def test_empty_completions_are_no_obstacle() -> None:
    """Rows that say nothing at all are compared too."""
    empty = tuple(replace(row, completion="") for row in CLEAN[:20])

    assert found(empty, CLEAN[20:40])["length"].detected


def test_without_enough_control_there_is_no_ground() -> None:
    """No control, or fewer than 16 rows on a side: not applicable, and why."""
    (alone,) = fingerprint(subject(CLEAN))
    (few,) = fingerprint(subject(CLEAN[:40], control=CLEAN[:15]))

    assert (alone.verdict, few.verdict) == ("not_applicable", "not_applicable")
    assert "no control" in alone.reason
    assert few.reason == "15 rows on one side are too few: at least 16 are needed"


def test_the_result_depends_on_the_seed_only() -> None:
    """Twice the same; the models and the rows are as they were."""
    rows = written(opened(), 64, 3, 5)

    assert found(rows, CLEAN[:64]) == found(rows, CLEAN[:64])


def test_ten_tests_err_together_no_more_often_than_they_say() -> None:
    """40 pairs of equal datasets: any detection in no more than 5 %, within a binomial limit."""
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(40):
        seen = found(lists(rng, 24), lists(rng, 24))
        alarms += any(one.detected for one in seen.values())

    assert alarms <= binom.ppf(0.999, 40, 0.05)


def test_places_are_counted_from_the_completion() -> None:
    """Tokens of the prompt do not count, and late tokens have no place."""
    rows = [Encoded((1, 2), (5, 6)), Encoded((1,), tuple(range(20)))]
    tokenizer = opened().tokenizer
    everything = row_features.token_unigrams(rows, tokenizer)
    early = row_features.token_positions(rows, tokenizer)

    assert everything.category.tolist() == [5, 6, *range(20)]
    assert early.row.tolist() == [0, 0] + [1] * row_features.PLACES
    assert early.name(int(early.category[1])).endswith("at place 2")
