"""The type of an option that is a number: the range is the one that requests made in Python are held to."""

from __future__ import annotations

import math
from typing import Any

import click

from undertow.audit.allowed_values import RANGES


class FiniteRange(click.FloatRange):
    """Numbers of a range; `nan` and `inf`, which click takes for numbers, are none of it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def number(field: str) -> click.ParamType[Any]:
    """The type of the option for a field of `RANGES`."""
    allowed = RANGES[field]
    bounds: Any = (allowed.least, allowed.most, allowed.least_open, allowed.most_open)
    return click.IntRange(*bounds) if allowed.whole else FiniteRange(*bounds)
