"""
The figure of a lineage: how well the units of each layer fit, against what unrelated networks do.
"""

from __future__ import annotations

from dataclasses import dataclass

from undertow.report.axis import Axis, linear_axis
from undertow.results.lineage import LineageDocument, Related

_LEAST = 12.0
"""Largest z that the axis reaches at least, so that noise is drawn as noise."""


@dataclass(frozen=True)
class FitRow:
    """One teacher: a dot a layer, in percent of the axis."""

    teacher: Related
    dots: tuple[float, ...]


@dataclass(frozen=True)
class FitFigure:
    """All teachers over one axis, in standard deviations."""

    axis: Axis
    low: float
    high: float
    """The band in which 99.9 % of the layers of unrelated networks lie, in percent of the axis."""
    rows: tuple[FitRow, ...]


def fit_figure(document: LineageDocument) -> FitFigure | None:
    """The figure; None where no weights were compared."""
    from undertow.stats.quantiles import normal_quantile

    measured = [one for one in document.teachers if one.layers]
    if not measured:
        return None
    bound = normal_quantile(0.9995)
    values = [layer.z for one in measured for layer in one.layers]
    axis = linear_axis([*values, -bound, bound, _LEAST])
    return FitFigure(
        axis,
        axis.at(-bound),
        axis.at(bound),
        tuple(FitRow(one, tuple(axis.at(layer.z) for layer in one.layers)) for one in measured),
    )
