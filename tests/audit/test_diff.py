"""How many controls an open search takes, and what it says where they are too few."""

from __future__ import annotations

import pytest

from undertow.audit.diff import least_p, too_few


@pytest.mark.parametrize(
    ("tuned", "own_rows", "needed"),
    [(1, False, 19), (1, True, 19), (5, False, 19), (2, True, 8), (4, True, 5), (5, True, 3)],
)
def test_the_number_that_it_takes_is_the_first_that_is_enough(
    tuned: int, own_rows: bool, needed: int
) -> None:
    """By rank 1 / (J + 1), also for several runs of the same rows; by permutation of both kinds where each has its own."""
    enough = [n for n in range(1, 25) if not too_few(tuned, n, own_rows, 0.95)]

    assert enough == list(range(needed, 25))
    assert least_p(tuned, needed, own_rows) <= 0.05 + 1e-12
    assert f"at least {needed} for .05" in too_few(tuned, needed - 1, own_rows, 0.95)


def test_another_level_takes_another_number() -> None:
    """99 for .01."""
    assert "at least 99 for .01" in too_few(1, 98, False, 0.99)
    assert too_few(1, 99, False, 0.99) == ""


def test_without_controls_only_the_number_is_said() -> None:
    """There is no p to speak of."""
    assert too_few(1, 0, False, 0.95).startswith("this model takes at least 19 for .05")


def test_runs_of_the_same_rows_are_told_of_the_other_way() -> None:
    """Five models against five controls could be permuted, if each had rows of its own."""
    assert "--own-rows" in too_few(5, 5, False, 0.95)
    assert "--own-rows" not in too_few(1, 5, False, 0.95)
