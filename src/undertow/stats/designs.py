"""
What a design of a given size can show: its least p, and in words why it cannot support a claim.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from undertow.stats.arguments import count, fraction

_SLACK = 1e-12


def smallest_p_two_sample(n: int, m: int) -> float:
    """
    Least two-sided p of the permutation test of n runs against m.

    With equal arms the split with all labels exchanged ties with the observed one.

    >>> smallest_p_two_sample(3, 3)
    0.1
    """
    splits = math.comb(count(n, "n") + count(m, "m"), n)
    return (2 if n == m else 1) / splits


def smallest_p_sign_flip(n: int) -> float:
    """
    Least two-sided p of the sign-flip test of n pairs: 2 / 2^n.

    >>> smallest_p_sign_flip(6)
    0.03125
    """
    return 2.0 ** (1 - count(n, "n"))


def smallest_p_matrix(size: int, *, sides: int = 2) -> float:
    """
    Least p of the permutation test of a square matrix's diagonal: 1 / size!.

    Two-sided, a 2 x 2 matrix gives nothing: its one other permutation always ties.
    """
    number = math.factorial(count(size, "size", at_least=2))
    return 1.0 if size == sides == 2 else 1 / number


def smallest_p_rank_correlation(n: int) -> float:
    """Least two-sided p of the permutation test of a rank correlation of n points: 2 / n!."""
    return min(1.0, 2 / math.factorial(count(n, "n", at_least=2)))


def supports(level: float, smallest_p: float, *, n: str = "") -> str | None:
    """
    Why a design cannot support a claim at a confidence level; None where it can.

    Args:
        level: Confidence level of the claim; .95 asks for p of at most .05.
        smallest_p: Least p of the design (`TestResult.smallest_p`).
        n: Number of runs in the words of `TestResult.n`; the sentence then names the design.

    Raises:
        ValueError: The level or smallest_p is out of range, or `n` is in no known form.

    >>> print(supports(0.95, 0.1, n="3 v 3"))
    3 runs against 3 can give no two-sided p below .10; \
with equal arms, at least 4 an arm are needed for .05
    """
    alpha = 1 - fraction(level, "level")
    if not 0 < smallest_p <= 1:
        raise ValueError(f"smallest_p must lie in (0, 1], got {smallest_p}")
    if smallest_p <= alpha + _SLACK:
        return None
    design = _named_design(n, alpha)
    subject, needed = design.subject, design.needed
    if design.smallest_p <= alpha + _SLACK:
        subject = f"{subject} with so few random rearrangements"
        needed = f"at least {math.ceil(1 / alpha - _SLACK) - 1} of them"
    return (
        f"{subject} can give no {design.noun} below {in_words(smallest_p)}; "
        f"{needed} are needed for {in_words(alpha)}"
    )


def in_words(p: float) -> str:
    """
    A probability as papers print it: three digits that count, no leading zero.

    >>> in_words(0.1), in_words(2 / 70), in_words(1.0)
    ('.10', '.0286', '1')
    """
    text = str(np.format_float_positional(p, precision=3, fractional=False, trim="-"))
    text = text.removeprefix("0")
    return f"{text}0" if re.fullmatch(r"\.\d", text) else text


@dataclass(frozen=True)
class _Design:
    subject: str
    noun: str
    smallest_p: float
    needed: str


def _named_design(n: str, alpha: float) -> _Design:
    arms = _least(lambda size: smallest_p_two_sample(size, size), alpha)
    pairs = _least(smallest_p_sign_flip, alpha)
    if not n:
        needed = f"at least {arms} runs an arm or {pairs} pairs"
        return _Design("this design", "p", 1.0, needed)
    form = re.fullmatch(r"(\d+)(?: (v|x) (\d+)| (pairs|points))", n)
    if form is None:
        forms = "'4 v 4', '6 pairs', '5 x 5', '8 points'"
        raise ValueError(f"n must be in one of the forms {forms}, got '{n}'")
    size, other = int(form[1]), int(form[3] or 0)
    match form[2] or form[4]:
        case "v":
            smallest = smallest_p_two_sample(size, other)
            needed = f"with equal arms, at least {arms} an arm"
            return _Design(f"{size} runs against {other}", "two-sided p", smallest, needed)
        case "x":
            needed = f"at least {_least(smallest_p_matrix, alpha)} rows and columns"
            return _Design(f"a {n} matrix", "p", smallest_p_matrix(size), needed)
        case "pairs":
            needed = f"at least {pairs} pairs"
            return _Design(n, "two-sided p", smallest_p_sign_flip(size), needed)
        case _:
            needed = f"at least {_least(smallest_p_rank_correlation, alpha)} points"
            return _Design(n, "two-sided p", smallest_p_rank_correlation(size), needed)


def _least(smallest_p: Callable[[int], float], alpha: float) -> int:
    return next(size for size in itertools.count(2) if smallest_p(size) <= alpha + _SLACK)
