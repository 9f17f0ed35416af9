"""
Comparisons as text: estimate, interval and smallest visible effect in the unit that suits them.
"""

from __future__ import annotations

from undertow.report.numbers import difference, interval, percent
from undertow.results.run import Comparison


def null_value(comparison: Comparison) -> float:
    """The value that means no effect: 1/2 where a share is tested against a coin, else 0."""
    return 0.5 if "1/2" in comparison.test else 0.0


def estimate(comparison: Comparison) -> str:
    """The estimate; signed where it is a difference."""
    return difference(comparison.estimate, comparison.unit, signed=null_value(comparison) == 0)


def limits(comparison: Comparison) -> str:
    """The interval with its level, e.g. `95 % [+21.7, +55.7]`."""
    level = percent(comparison.level, 0)
    if comparison.low is None and comparison.high is None:
        return f"no finite {level} interval"
    signed = null_value(comparison) == 0
    shown = interval(comparison.low, comparison.high, comparison.unit, signed=signed)
    return f"{level} {shown}"


def detectable(comparison: Comparison) -> str:
    """The smallest effect that the comparison would have seen."""
    return difference(comparison.detectable, comparison.unit, signed=False)
