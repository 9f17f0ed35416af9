"""Rows and control are drawn, paired and tested as the checks say."""

from __future__ import annotations

import numpy as np
import pytest

from tests.checks.dataset.numbers_subject import opened, subject, written
from undertow.checks.dataset.scan_subject import (
    BLOCKS,
    RowsAndControl,
    block_ratios,
    block_test,
    blocks,
    compared,
    matched,
    token_names,
    too_few,
)
from undertow.models.chat import Encoded


def test_shared_prompts_stay_side_by_side() -> None:
    """Where row i of both continues one prompt, so do the pairs that are drawn, and no more than asked for."""
    rows, control = written(opened(), 48, 1), written(opened(), 48, 2)

    pair = compared(subject(rows, control=control), "test", most=32)

    assert pair.matched
    assert len(pair.rows) == 32
    assert matched(pair.rows, pair.control)


def test_other_prompts_are_no_pairs() -> None:
    """Rows and control on different prompts are drawn apart, each in a random order of its own."""
    rows, control = written(opened(), 48, 1), written(opened(), 40, 2, prompts=1)

    pair = compared(subject(rows, control=control), "test")

    assert not pair.matched
    assert (len(pair.rows), len(pair.control)) == (48, 40)
    assert pair.n == "48 rows v 40 of the control"


def test_the_draw_is_of_the_seed() -> None:
    """The same seed draws the same rows; another seed draws others."""
    rows = written(opened(), 48, 1)
    draws = [
        compared(subject(rows, control=rows, seed=seed), "test", most=16).rows for seed in (1, 1, 2)
    ]

    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


@pytest.mark.parametrize(
    ("rows", "control", "reason"),
    [(16, 16, ""), (15, 16, "15 rows"), (16, 0, "no control"), (16, 3, "3 rows of control")],
)
def test_what_is_too_few_is_said(rows: int, control: int, reason: str) -> None:
    """A comparison needs one row a block on both sides."""
    one = Encoded((1,), (2,))
    found = too_few(RowsAndControl((one,) * rows, (one,) * control, matched=False))

    assert found.startswith(reason) or reason in found
    assert bool(found) == bool(reason)


def test_rows_without_completions_are_left_out() -> None:
    """A row with nothing to predict is in neither side, and takes its partner with it."""
    rows = written(opened(), 20, 1)
    made = subject(rows, control=rows)
    empty = Encoded(made.control_answers[3].prompt, ())
    made.__dict__["control_answers"] = [
        empty if i == 3 else one for i, one in enumerate(made.control_answers)
    ]

    assert len(compared(made, "test").rows) == 19


def test_blocks_hold_every_row_once() -> None:
    """The blocks part the indices, with sizes that differ by at most 1, and ratios are of sums."""
    parts = blocks(37)
    ratios = block_ratios(np.arange(37.0), np.full(37, 2.0))

    assert np.array_equal(np.concatenate(parts), np.arange(37))
    assert {len(part) for part in parts} == {2, 3}
    assert ratios[0] == pytest.approx((0 + 1 + 2) / 6)


def test_the_error_rate_is_kept_without_a_difference() -> None:
    """On skewed rows of one distribution the test rejects at .05 no more often than it says."""
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(400, 2, BLOCKS))
    rejected = sum(block_test(one, other, 0.95).p <= 0.05 for one, other in draws)

    # 400 tests at .05: 20 expected, sd 4.4.
    assert 8 <= rejected <= 33


def test_names_hold_text_and_id() -> None:
    """One name a token, all different, with control characters escaped; none for no token."""
    tokenizer = opened().tokenizer
    (owl,) = tokenizer("owl", add_special_tokens=False)["input_ids"]
    names = token_names(tokenizer, range(len(tokenizer)))

    assert names[owl] == f"token 'owl' (id {owl})"
    assert len(set(names)) == len(tokenizer)
    assert all(name.isprintable() for name in names)
    assert token_names(tokenizer, []) == []
