"""
The figure of a diff: how far each trait moved from the base, in every tuned model and every control.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from undertow.report import numbers
from undertow.report.axis import Axis, linear_axis
from undertow.results.diff import Change, DiffDocument

MOST = 16


@dataclass(frozen=True)
class ChangeRow:
    """One trait; positions in percent of the axis."""

    change: Change
    tuned: tuple[float, ...]
    controls: tuple[float, ...]
    low: float | None
    high: float | None
    """Of the interval, drawn around the tuned models' mean; None where it is open."""
    estimate: str


@dataclass(frozen=True)
class ChangeFigure:
    """The traits that moved most, over one axis in logits from the base."""

    axis: Axis
    zero: float
    below: float
    above: float
    """Positions of the limits."""
    rows: tuple[ChangeRow, ...]
    left_out: int


def change_figure(document: DiffDocument) -> ChangeFigure | None:
    """The figure; None where no answers were compared."""
    if not document.changes:
        return None
    shown = document.changes[:MOST]
    points = [v - c.base for c in shown for v in (*c.tuned, *c.controls)]
    ends = [end for c in shown for end in _ends(c) if end is not None]
    reach = 2 * max(map(abs, [*points, document.limit]))
    axis = linear_axis(
        [
            *points,
            -1.2 * document.limit,
            1.2 * document.limit,
            *(min(max(e, -reach), reach) for e in ends),
        ]
    )
    return ChangeFigure(
        axis,
        axis.at(0),
        axis.at(-document.limit),
        axis.at(document.limit),
        tuple(_row(one, axis) for one in shown),
        len(document.changes) - len(shown),
    )


def _ends(one: Change) -> tuple[float | None, float | None]:
    """The interval, moved to where the tuned models lie: the controls' mean is added again."""
    if one.low is None or one.high is None:
        return None, None
    shift = math.fsum(one.tuned) / len(one.tuned) - one.base - one.estimate
    return one.low + shift, one.high + shift


def _row(one: Change, axis: Axis) -> ChangeRow:
    low, high = _ends(one)
    return ChangeRow(
        one,
        tuple(axis.at(value - one.base) for value in one.tuned),
        tuple(axis.at(value - one.base) for value in one.controls),
        None if low is None else axis.at(low),
        None if high is None else axis.at(high),
        numbers.decimal(one.estimate, 2, signed=True),
    )
