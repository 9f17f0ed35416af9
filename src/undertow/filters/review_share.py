"""
The share of right answers among independent ones: interval, exact test, and what it could have found.
"""

from __future__ import annotations

# scipy.special alone: scipy.stats takes a second to import.
from scipy import special  # type: ignore[import-untyped, unused-ignore]

from undertow.data.closed import Stored
from undertow.stats import clopper_pearson
from undertow.stats.interval import beta_quantile

LEVEL = 0.95
POWER = 0.8


class Share(Stored):
    """Right answers among independent ones, with their Clopper-Pearson interval and exact test."""

    correct: int
    of: int
    accuracy: float | None
    """None where nothing was decided, as are the limits."""
    low: float | None
    high: float | None
    p: float
    """Exact two-sided binomial p against 1/2; 1 where nothing was decided."""
    detectable: float | None
    """Least accuracy that the test finds with 80 % power; None with under 6 answers."""


def share_of(correct: int, of: int) -> Share:
    """So many right answers of so many."""
    interval = clopper_pearson(correct, of, LEVEL) if of else None
    return Share(
        correct=correct,
        of=of,
        accuracy=interval.estimate if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        p=binomial_p(correct, of),
        detectable=detectable_accuracy(of),
    )


def binomial_p(k: int, n: int) -> float:
    """
    Exact two-sided binomial p of k right answers of n, against 1/2; 1 if n is 0.

    Source: Clopper & Pearson, Biometrika 26, 1934; at 1/2 every two-sided convention is this one.

    >>> binomial_p(10, 10), binomial_p(5, 10)
    (0.001953125, 1.0)
    """
    return min(1.0, 2 * float(special.bdtr(min(k, n - k), n, 0.5))) if n else 1.0


def detectable_accuracy(n: int, level: float = LEVEL, power: float = POWER) -> float | None:
    """
    Least accuracy over 1/2 that the exact test of n answers finds with the power; None if none is.

    At the least number c of right answers that is rejected, P(at least c of n) = I_q(c, n - c + 1)
    (Abramowitz & Stegun 26.5.24), which is solved for the accuracy q.

    >>> detectable_accuracy(5) is None, round(detectable_accuracy(6), 4)
    (True, 0.9635)
    """
    rejected = (c for c in range(n // 2 + 1, n + 1) if binomial_p(c, n) <= 1 - level + 1e-12)
    least = next(rejected, None)
    return None if least is None else beta_quantile(power, least, n - least + 1)
