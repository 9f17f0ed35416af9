"""
What figures are drawn with: axes with round tick values, and marks at positions in percent of an axis.

Positions are in percent so that a figure fits any width with unscaled text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from undertow.report.plain_text import decimal, percent, power_of_ten


@dataclass(frozen=True)
class Mark:
    """One element of SVG."""

    tag: str
    attributes: Mapping[str, str | float] = field(default_factory=dict)
    text: str = ""


def upright(at: float, style: str, top: str = "0", bottom: str = "100%") -> Mark:
    """A vertical line."""
    ends = {"x1": f"{at}%", "x2": f"{at}%", "y1": top, "y2": bottom}
    return Mark("line", {"class": style} | ends)


def across(low: float, high: float, style: str = "span") -> Mark:
    """A horizontal line in the middle."""
    ends = {"x1": f"{low}%", "x2": f"{high}%", "y1": "50%", "y2": "50%"}
    return Mark("line", {"class": style} | ends)


def band(
    low: float, high: float, style: str, *, top: str = "0", height: str = "100%", rx: int = 0
) -> Mark:
    """A rectangle."""
    sides: dict[str, str | float] = {"x": f"{low}%", "width": f"{round(high - low, 2)}%", "y": top}
    corners: dict[str, str | float] = {"rx": rx} if rx else {}
    return Mark("rect", {"class": style, **sides, "height": height, **corners})


def dot(at: float, style: str, radius: float, y: str = "50%") -> Mark:
    """A circle."""
    return Mark("circle", {"class": style, "cx": f"{at}%", "cy": y, "r": radius})


def circle(style: str, x: int, y: int, radius: float) -> Mark:
    """A circle at a place in CSS pixels."""
    return Mark("circle", {"class": style, "cx": x, "cy": y, "r": radius})


def sign(text: str, at: float, dx: int, *, y: str = "50%", dy: int = 4) -> Mark:
    """A character, e.g. the arrow of an interval that goes on beyond the axis."""
    return Mark("text", {"class": "arrow", "x": f"{at}%", "y": y, "dx": dx, "dy": dy}, text)


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
    kept = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(kept), max(kept)
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
    kept = [value for value in values if math.isfinite(value) and value > 0] or [0.1, 1.0]
    low, high = math.floor(math.log10(min(kept))), math.ceil(math.log10(max(kept)))
    low, high = max(low, -300), min(max(high, low + 1), 300)
    axis = Axis(10.0**low, 10.0**high, (), log=True)
    stride = math.ceil((high - low) / 7)
    powers = range(low, high + 1, stride)
    ticks = tuple(Tick(axis.at(10.0**power), power_of_ten(power)) for power in powers)
    return Axis(axis.low, axis.high, ticks, log=True)


def grid(axis: Axis) -> tuple[Mark, ...]:
    """A thin line at every tick."""
    return tuple(upright(tick.at, "grid") for tick in axis.ticks)


def strip(length: int, strokes: Iterable[tuple[float, float, str]]) -> str:
    """
    An axis in characters, one stroke after the other: where it begins and ends, and its character.

    A second character is for places where something is drawn already.

    >>> strip(9, [(25, 75, "━"), (50, 50, "┆┼"), (100, 100, "┆┼")])
    '  ━━┼━━ ┆'
    """
    cells = [" "] * length
    for low, high, characters in strokes:
        for index in range(_cell(low, length), _cell(high, length) + 1):
            cells[index] = characters[0] if cells[index] == " " else characters[-1]
    return "".join(cells)


def _cell(position: float, length: int) -> int:
    return round(position / 100 * (length - 1))


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
