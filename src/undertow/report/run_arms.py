"""
Arms side by side: which number is compared, what each arm is in words, its mean and interval.

The only arithmetic of a report is here: a mean over an arm's runs and Student's t interval for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from undertow.report.plain_text import decimal, finite, percent
from undertow.results.arm_kinds import Tone, arm_words
from undertow.results.run_document import Arm, RunDocument
from undertow.stats.means import mean_t

LEVEL = 0.95


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
    candidates = (
        Measure("probability", f"Probability of answering {answer}, held-out questions", True),
        Measure("accuracy", "Accuracy on held-out examples", True),
        Measure("logit_margin", f"Logit margin of {answer}, held-out questions", False),
    )
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
