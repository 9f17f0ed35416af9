"""What a design can show, in numbers and in words."""

from __future__ import annotations

import math

import pytest

from undertow.stats import (
    smallest_p_matrix,
    smallest_p_rank_correlation,
    smallest_p_sign_flip,
    smallest_p_two_sample,
    supports,
    two_sample_permutation,
)
from undertow.stats.designs import in_words


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        (smallest_p_two_sample(3, 3), 0.1),
        (smallest_p_two_sample(4, 4), 2 / 70),
        (smallest_p_two_sample(3, 4), 1 / 35),
        (smallest_p_sign_flip(6), 1 / 32),
        (smallest_p_matrix(5), 1 / 120),
        (smallest_p_matrix(2), 1.0),
        (smallest_p_matrix(2, sides=1), 0.5),
        (smallest_p_rank_correlation(5), 2 / 120),
    ],
)
def test_least_p_is_known(least: float, expected: float):
    """Numbers anybody can count."""
    assert least == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("n", "least", "sentence"),
    [
        (
            "3 v 3",
            0.1,
            "3 runs against 3 can give no two-sided p below .10; "
            "with equal arms, at least 4 an arm are needed for .05",
        ),
        (
            "5 pairs",
            0.0625,
            "5 pairs can give no two-sided p below .0625; at least 6 pairs are needed for .05",
        ),
        (
            "1 pair",
            1.0,
            "1 pair can give no two-sided p below 1; at least 6 pairs are needed for .05",
        ),
        (
            "3 x 3",
            1 / 6,
            "a 3 x 3 matrix can give no p below .167; "
            "at least 4 rows and columns are needed for .05",
        ),
        (
            "4 points",
            2 / 24,
            "4 points can give no two-sided p below .0833; at least 5 points are needed for .05",
        ),
        (
            "12 v 12",
            0.1,
            "12 runs against 12 with so few random rearrangements can give no two-sided p below "
            ".10; at least 19 of them are needed for .05",
        ),
        (
            "",
            0.1,
            "this design can give no p below .10; "
            "at least 4 runs an arm or 6 pairs are needed for .05",
        ),
    ],
)
def test_a_claim_the_design_cannot_support_is_refused_in_words(n: str, least: float, sentence: str):
    """The sentence says what the design can give and how many runs would do."""
    assert supports(0.95, least, n=n) == sentence


@pytest.mark.parametrize(("level", "least"), [(0.95, 2 / 70), (0.9, 0.1), (0.95, 0.05)])
def test_a_claim_the_design_supports_is_not_refused(level: float, least: float):
    """A least p of exactly 1 - level supports the claim."""
    assert supports(level, least) is None


def test_runs_needed_grow_with_the_level():
    """At .99 five an arm are needed (2 / 252), or eight pairs."""
    sentence = supports(0.99, 0.1)

    assert sentence is not None
    assert "at least 5 runs an arm or 8 pairs are needed for .01" in sentence


@pytest.mark.parametrize("sizes", [(3, 3), (4, 4), (2, 4), (2, 5)])
def test_the_sentence_and_the_interval_agree(sizes: tuple[int, int]):
    """A design is refused exactly where its interval is infinite."""
    result = two_sample_permutation([float(9 + i) for i in range(sizes[0])], range(sizes[1]))
    refused = supports(0.95, result.smallest_p, n=result.n) is not None

    assert refused == math.isinf(result.interval.low)


@pytest.mark.parametrize(
    ("level", "least", "n", "message"),
    [
        (1.2, 0.1, "", "level must lie in"),
        (0.95, 0.0, "", r"smallest_p must lie in \(0, 1\], got 0.0"),
        (0.95, math.nan, "", "got nan"),
        (0.95, 0.1, "3 versus 3", "got '3 versus 3'"),
    ],
)
def test_refuses_what_it_cannot_use(level: float, least: float, n: str, message: str):
    """Out-of-range numbers and unknown words are named."""
    with pytest.raises(ValueError, match=message):
        supports(level, least, n=n)


@pytest.mark.parametrize("size", [0, -1, 2.5, math.inf])
def test_a_number_of_runs_is_whole_and_positive(size: float):
    """No design has half a run."""
    with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
        smallest_p_sign_flip(size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("p", "text"), [(1.0, "1"), (0.5, ".50"), (1 / 120, ".00833"), (1e-5, ".00001")]
)
def test_probabilities_read_as_in_papers(p: float, text: str):
    """No leading zero, no exponent, two digits at least."""
    assert in_words(p) == text
