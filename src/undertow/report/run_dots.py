"""The headline of a run: every run a dot, every arm with its mean and interval; and the whiskers of comparisons."""

from __future__ import annotations

from collections.abc import Sequence

from undertow.report.figure import Lane, Lanes, Panel
from undertow.report.page import Phrase, Remark, Strong, Table, key_sign
from undertow.report.plain_text import NOTHING, decimal, finite, percent, plain
from undertow.report.run_arms import ArmSummary, Measure
from undertow.report.svg import (
    Axis,
    Mark,
    band,
    circle,
    dot,
    grid,
    linear_axis,
    strip,
    upright,
)

_BAR = 30
"""Characters of the axis in a terminal."""


def dot_figure(
    arms: Sequence[ArmSummary], measure: Measure, chance: float | None, numbers: Table | None = None
) -> Lanes:
    """
    The headline figure.

    Args:
        numbers: the table of what is drawn.
    """
    limit = chance if measure.share else None
    reach = finite([limit, *(end for arm in arms for end in (arm.low, arm.high, arm.untrained))])
    values = [value for arm in arms for value in arm.values]
    axis = linear_axis([0.0, *reach, *values], share=measure.share)
    key: list[Phrase] = [
        (key_sign(14, 14, circle("dot", 7, 7, 4.5)), "one run"),
        (key_sign(34, 16, _BAND, _line("mean", 17, 0, 16)), "mean and its 95 % interval"),
    ]
    legend = "● one run   ┃ mean   ━ its 95 % interval"
    if limit is not None:
        legend += f"   ┆ chance, {odds(limit)}"
        key.append((key_sign(6, 18, _line("chance", 3, 0, 18)), f"chance, {odds(limit)}"))
    if any(arm.untrained is not None for arm in arms):
        key.append((key_sign(6, 18, _line("untrained", 3, 0, 18)), "the untrained base"))
    lanes = tuple(_lane(arm, measure, axis, limit) for arm in arms)
    panel = Panel(lanes, axis.ticks)
    return Lanes("dots", measure.name, (panel,), key=tuple(key), legend=legend, numbers=numbers)


def arms_table(arms: Sequence[ArmSummary], measure: Measure) -> Table:
    """The numbers of the headline figure: an arm a row."""
    columns = ("arm", "student", "trained on", "runs", "mean", "95 % interval", "untrained base")
    rows = tuple(
        (
            arm.arm,
            arm.label,
            plain(arm.detail),
            str(len(arm.values)),
            measure.text(arm.mean),
            _limits(arm, measure) or NOTHING,
            measure.text(arm.untrained),
            "  ".join(map(measure.text, arm.values)),
        )
        for arm in arms
    )
    return Table(measure.name, (*columns, "each run"), rows, frozenset({3, 4, 5, 6}))


def odds(share: float | None) -> str:
    """A share as `1 in 16` where it is one."""
    if share is None or not 0 < share < 1:
        return percent(share)
    one_in = round(1 / share)
    return f"1 in {one_in}" if abs(share * one_in - 1) < 1e-6 else percent(share)


def _lane(arm: ArmSummary, measure: Measure, axis: Axis, chance: float | None) -> Lane:
    mean, places = axis.at(arm.mean), sorted(map(axis.at, arm.values))
    marks, strokes = list(grid(axis)), []
    if chance is not None:
        marks.append(upright(axis.at(chance), "chance"))
        strokes.append((axis.at(chance), axis.at(chance), "┆"))
    if arm.untrained is not None:
        marks.append(upright(axis.at(arm.untrained), "untrained"))
    if arm.low is not None and arm.high is not None:
        low, high = axis.at(arm.low), axis.at(arm.high)
        marks.append(band(low, high, "band", top="23", height="14", rx=3))
        strokes.append((low, high, "━"))
    marks.append(upright(mean, "mean", "15", "45"))
    marks += [
        dot(place, "dot", 4.5, str(30 + 9 * level))
        for place, level in zip(places, apart(places), strict=True)
    ]
    strokes += [(mean, mean, "┃"), *((place, place, "●") for place in places)]
    return Lane(
        who=(Strong(arm.label), Remark(arm.detail)) if arm.detail else Strong(arm.label),
        marks=tuple(marks),
        value=Strong(measure.text(arm.mean)),
        limits=_limits(arm, measure),
        style=f"{arm.tone} {'filled' if arm.filled else 'hollow'}",
        strip=strip(_BAR, strokes),
    )


def _limits(arm: ArmSummary, measure: Measure) -> str:
    if arm.low is None or arm.high is None:
        return ""
    if measure.share:
        return f"{decimal(100 * arm.low, 1)}–{percent(arm.high)}"
    return f"{measure.text(arm.low)} to {measure.text(arm.high)}"


def apart(places: Sequence[float]) -> tuple[int, ...]:
    """How far up or down each dot is moved so that it does not cover another; the places ascend."""
    levels: list[int] = []
    for index, place in enumerate(places):
        near = {
            level
            for other, level in zip(places[:index], levels, strict=True)
            if abs(other - place) < 1.8
        }
        levels.append(next((level for level in (0, -1, 1, -2, 2) if level not in near), 0))
    return tuple(levels)


def _line(style: str, x: int, top: int, bottom: int) -> Mark:
    return Mark("line", {"class": style, "x1": x, "x2": x, "y1": top, "y2": bottom})


_BAND = Mark("rect", {"class": "band", "x": 1, "y": 3, "width": 32, "height": 10, "rx": 3})
