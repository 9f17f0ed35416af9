"""Geometry of line plots: points in percent of width and height."""

from __future__ import annotations

import math
from dataclasses import dataclass

from undertow.report.axis import Axis, linear_axis, log_axis
from undertow.results.run import Curves

STYLES = 6
"""Number of distinct line styles; further lines repeat them."""


@dataclass(frozen=True)
class Line:
    """One series: its points in percent of width and height, from the upper left."""

    name: str
    style: int
    points: tuple[tuple[float, float], ...]

    @property
    def path(self) -> str:
        """The points as the attribute of an SVG polyline."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


@dataclass(frozen=True)
class LineFigure:
    """Lines over a common axis."""

    curves: Curves
    x: Axis
    y: Axis
    lines: tuple[Line, ...]


def line_figure(curves: Curves) -> LineFigure:
    """A line plot; values that a logarithmic axis cannot show are left out."""
    xs = [value for series in curves.series for value in series.x]
    ys = [value for series in curves.series for value in series.y]
    x = log_axis(xs) if curves.log_x else linear_axis(xs)
    y = log_axis(ys) if curves.log_y else linear_axis(ys)
    lines = tuple(
        Line(
            series.name,
            index % STYLES,
            tuple(
                (x.at(here), round(100 - y.at(value), 2))
                for here, value in zip(series.x, series.y, strict=False)
                if _shown(here, curves.log_x) and _shown(value, curves.log_y)
            ),
        )
        for index, series in enumerate(curves.series)
    )
    return LineFigure(curves, x, y, lines)


def _shown(value: float, log: bool) -> bool:
    return math.isfinite(value) and (value > 0 or not log)
