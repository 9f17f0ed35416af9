"""Axes: round tick values, and positions in percent of the axis's length."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from undertow.report.numbers import decimal, percent, power_of_ten


@dataclass(frozen=True)
class Tick:
    """One mark of an axis."""

    at: float
    """Position in percent of the axis."""
    label: str


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers, linear or logarithmic."""

    low: float
    high: float
    ticks: tuple[Tick, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """Position of a value in percent of the axis, between 0 and 100."""
        low, high, here = self.low, self.high, value
        if self.log:
            low, high = math.log10(low), math.log10(high)
            here = math.log10(value) if value > 0 else low
        # Halves, since the difference of two very large limits overflows.
        share = (here / 2 - low / 2) / (high / 2 - low / 2)
        return round(100 * min(max(share, 0.0), 1.0), 2)


def linear_axis(values: Iterable[float], *, share: bool = False, ticks: int = 5) -> Axis:
    """An axis over the values from round number to round number; a share is labelled in percent."""
    found = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(found), max(found)
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-3):
        low, high = low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
    step = _round_step(high / ticks - low / ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = [index * step for index in range(first, last + 1)]
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    axis = Axis(marks[0], marks[-1], ())

    def label(mark: float) -> str:
        return percent(mark, max(0, places - 2)) if share else decimal(mark, places)

    return Axis(axis.low, axis.high, tuple(Tick(axis.at(mark), label(mark)) for mark in marks))


def log_axis(values: Iterable[float]) -> Axis:
    """An axis over whole powers of ten that hold the positive values."""
    found = [value for value in values if math.isfinite(value) and value > 0] or [0.1, 1.0]
    low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
    low, high = max(low, -300), min(max(high, low + 1), 300)
    axis = Axis(10.0**low, 10.0**high, (), log=True)
    stride = math.ceil((high - low) / 7)
    powers = range(low, high + 1, stride)
    ticks = tuple(Tick(axis.at(10.0**power), power_of_ten(power)) for power in powers)
    return Axis(axis.low, axis.high, ticks, log=True)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
