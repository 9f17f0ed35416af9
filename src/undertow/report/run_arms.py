"""Arms side by side: which number is compared, each arm's mean and interval, and their figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from undertow.report.figure import Lane, Lanes, Panel
from undertow.report.page import Phrase, Remark, Strong, Table, key_sign
from undertow.report.plain_text import NOTHING, decimal, finite, percent, plain
from undertow.report.svg import Axis, Mark, band, circle, dot, grid, linear_axis, strip, upright
from undertow.results.arm_kinds import Tone, arm_words
from undertow.results.run_document import Arm, RunDocument
from undertow.stats.interval import mean_t

LEVEL = 0.95
_BAR = 30
"""Characters of the axis in a terminal."""

_BAND = Mark("rect", {"class": "band", "x": 1, "y": 3, "width": 32, "height": 10, "rx": 3})


@dataclass(frozen=True)
class Measure:
    """The number by which arms are compared."""

    field: str
    """Field of `Arm`."""
    name: str
    """What it is, as the label of an axis."""
    share: bool
    """Whether it lies in [0, 1] and is shown in percent."""

    def text(self, value: float | None) -> str:
        """A value in its unit."""
        return percent(value) if self.share else decimal(value, 2, signed=True)


@dataclass(frozen=True)
class ArmSummary:
    """All runs of one arm."""

    arm: str
    label: str
    detail: str
    tone: Tone
    """Whether the student shares the teacher's initialisation, where the arm's name tells."""
    filled: bool
    """Whether the rows came from the teacher of the trait."""
    values: tuple[float, ...]
    """One per run."""
    mean: float
    low: float | None
    """None with a single run."""
    high: float | None
    untrained: float | None
    """Mean of the untrained bases from which these students started."""


def measure_of(document: RunDocument) -> Measure | None:
    """The number by which this document's arms are compared, or none if no arm has one."""
    answer = f"“{document.trait}”" if document.trait else "the trait’s answer"
    margin = Measure("logit_margin", f"Logit margin of {answer}, held-out questions", False)
    candidates: tuple[Measure, ...] = (
        Measure("probability", f"Probability of answering {answer}, held-out questions", True),
        Measure("accuracy", "Accuracy on held-out examples", True),
        margin,
    )
    if any(choice.seldom_answered for choice in document.probes):
        candidates = (margin, *candidates)
    measured = (one for one in candidates if any(_number(arm, one) for arm in document.arms))
    return next(measured, None)


def summaries(document: RunDocument, measure: Measure) -> tuple[ArmSummary, ...]:
    """
    The arms in the order in which the document first names them, students before their teachers;
    untrained bases only if there is nothing else.
    """
    groups: dict[tuple[str, str], list[Arm]] = {}
    for arm in document.arms:
        groups.setdefault((arm.arm, arm.trait), []).append(arm)
    several = len({trait for _, trait in groups}) > 1
    trained = [runs for runs in groups.values() if not _is_untrained(runs[0])]
    trained.sort(key=lambda runs: runs[0].teacher is None)
    shown = trained or list(groups.values())
    made = (_summary(runs, measure, document, several) for runs in shown)
    return tuple(summary for summary in made if summary is not None)


def known_arms(document: RunDocument) -> dict[str, str]:
    """What each of the document's arms is, for those that are known."""
    several = len({arm.trait for arm in document.arms}) > 1
    names = {
        arm.arm: arm_words(arm.arm, None if several else document.trait) for arm in document.arms
    }
    start = {"same": "same initialisation", "other": "other initialisation", "plain": ""}
    return {
        arm: f"{start[name.tone] if arm.endswith('control') else name.label.lower()}, {name.detail}"
        for arm, name in names.items()
        if name.detail
    }


def mean_interval(values: Sequence[float], *, share: bool) -> tuple[float, float] | None:
    """Student's t interval (95 %) for the mean of the runs, cut to [0, 1] for a share."""
    if len(values) < 2:
        return None
    interval = mean_t(values, level=LEVEL)
    if share:
        return max(interval.low, 0.0), min(interval.high, 1.0)
    return interval.low, interval.high


def mean_of(arms: Sequence[Arm], measure: Measure) -> float | None:
    """Mean over the runs that have the number."""
    values = finite([getattr(arm, measure.field) for arm in arms])
    return math.fsum(values) / len(values) if values else None


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
        legend += f"   ┆ chance, {_odds(limit)}"
        key.append((key_sign(6, 18, _line("chance", 3, 0, 18)), f"chance, {_odds(limit)}"))
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


def _number(arm: Arm, measure: Measure) -> bool:
    return bool(finite([getattr(arm, measure.field)]))


def _summary(
    runs: list[Arm], measure: Measure, document: RunDocument, several: bool
) -> ArmSummary | None:
    values = finite([getattr(arm, measure.field) for arm in runs])
    if not values:
        return None
    first = runs[0]
    name = arm_words(first.arm, first.trait if several else document.trait)
    limits = mean_interval(values, share=measure.share)
    return ArmSummary(
        arm=first.arm,
        label=name.label,
        detail=f"{name.detail} · {first.trait}" if several else name.detail,
        tone=name.tone,
        filled=name.filled,
        values=values,
        mean=math.fsum(values) / len(values),
        low=limits[0] if limits else None,
        high=limits[1] if limits else None,
        untrained=_untrained(runs, measure, document),
    )


def _is_untrained(arm: Arm) -> bool:
    # The digits experiment names each of its networks as an arm: an untrained one is its own base.
    return arm.arm == "base" or (arm.base == arm.arm and arm.teacher is None)


def _untrained(runs: list[Arm], measure: Measure, document: RunDocument) -> float | None:
    bases = [arm for arm in document.arms if _is_untrained(arm) and arm.trait == runs[0].trait]
    started = {arm.base for arm in runs}
    return mean_of([arm for arm in bases if arm.base in started] or bases, measure)


def _odds(share: float | None) -> str:
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
        for place, level in zip(places, _apart(places), strict=True)
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


def _apart(places: Sequence[float]) -> tuple[int, ...]:
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
