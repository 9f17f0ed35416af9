"""Quantiles of the normal, t and beta distributions."""

from __future__ import annotations

# scipy.special alone: scipy.stats takes a second to import.
from scipy import special  # type: ignore[import-untyped, unused-ignore]


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    return float(special.ndtri(probability))


def t_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t distribution."""
    return float(special.stdtrit(degrees, probability))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Quantile of the beta distribution."""
    return float(special.betaincinv(a, b, probability))
