"""Cells of heat tables: a number, its interval, and how strongly it is coloured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from undertow.report.numbers import (
    NOTHING,
    decimal,
    difference,
    finite,
    shown_in_percent,
    significant,
)
from undertow.results.run import Matrix


@dataclass(frozen=True)
class Cell:
    """One number of a heat table."""

    value: str
    limits: str
    sign: str
    strength: float
    """Opacity of the colour, up to 0.6 so that the number stays readable."""
    own: bool
    """Whether its row and column have the same name."""


def heat_cells(matrix: Matrix) -> tuple[tuple[Cell, ...], ...]:
    """The cells of a heat table, row by row."""
    values = finite([value for row in matrix.values for value in row])
    reach = max(map(abs, values), default=0.0) or 1.0
    written = _writer(matrix, reach)
    return tuple(
        tuple(
            _cell(matrix, (row, column), value, reach, written)
            for column, value in enumerate(matrix.values[row])
        )
        for row in range(len(matrix.values))
    )


def _writer(matrix: Matrix, reach: float) -> Callable[[float | None], str]:
    """
    How the numbers of this matrix are written: alike, and so that the largest shows three digits.
    """
    tables = (matrix.values, matrix.low or (), matrix.high or ())
    signed = any(end < 0 for table in tables for row in table for end in finite(row))
    if shown_in_percent(matrix.unit):
        return lambda value: difference(value, matrix.unit, signed=signed)
    if not signed:
        return lambda value: NOTHING if value is None else significant(value, 3)
    places = min(max(2, 2 - math.floor(math.log10(reach))), 6)
    return lambda value: decimal(value, places, signed=True)


def _cell(
    matrix: Matrix,
    place: tuple[int, int],
    value: float,
    reach: float,
    written: Callable[[float | None], str],
) -> Cell:
    row, column = place
    low, high = (_at(limits, row, column) for limits in (matrix.low, matrix.high))
    share = abs(value) / reach if math.isfinite(value) else 0.0
    bounded = low is not None and high is not None
    return Cell(
        value=written(value),
        limits=f"[{written(low)}, {written(high)}]" if bounded else "",
        sign="negative" if value < 0 else "positive",
        strength=round(0.6 * share, 2),
        own=matrix.rows[row : row + 1] == matrix.columns[column : column + 1],
    )


def _at(limits: tuple[tuple[float | None, ...], ...] | None, row: int, column: int) -> float | None:
    if limits is None or row >= len(limits) or column >= len(limits[row]):
        return None
    return limits[row][column]
