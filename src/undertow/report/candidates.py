"""Which answer moved: every candidate's mean logit margin in an arm against the arm's control."""

from __future__ import annotations

import math
from dataclasses import dataclass

from undertow.report.arms import arm_name
from undertow.report.axis import Axis, linear_axis
from undertow.report.numbers import decimal, finite
from undertow.results.run import RunDocument

_PAIRS = (("trait", "control"), ("foreign", "foreign-control"))


@dataclass(frozen=True)
class Shift:
    """One candidate answer: mean logit margin in the control and in the arm, in logits."""

    candidate: str
    control: float
    arm: float
    own: bool
    """Whether it is the trait's answer."""

    @property
    def change(self) -> float:
        """The arm's mean minus the control's."""
        return self.arm - self.control

    @property
    def shown(self) -> str:
        """The change, signed."""
        return decimal(self.change, 2, signed=True)


@dataclass(frozen=True)
class ShiftPanel:
    """One arm against its control, over an axis that all panels share."""

    title: str
    tone: str
    axis: Axis
    shifts: tuple[Shift, ...]


def shift_panels(document: RunDocument) -> tuple[ShiftPanel, ...]:
    """
    A panel for each pair of arms that both have margins; candidates in the order of the first's.
    """
    found = [(arm, _shifts(document, arm, control)) for arm, control in _PAIRS]
    present = [(arm, shifts) for arm, shifts in found if shifts]
    if not present:
        return ()
    order = [shift.candidate for shift in present[0][1]]
    ends = [end for _, shifts in present for shift in shifts for end in (shift.arm, shift.control)]
    axis = linear_axis([0.0, *ends])
    return tuple(
        ShiftPanel(
            arm_name(arm, document.trait).label,
            arm_name(arm, document.trait).tone,
            axis,
            tuple(sorted(shifts, key=lambda shift: _place(order, shift.candidate))),
        )
        for arm, shifts in present
    )


def _shifts(document: RunDocument, arm: str, control: str) -> tuple[Shift, ...]:
    ours, theirs = _means(document, arm), _means(document, control)
    shifts = [
        Shift(candidate, theirs[candidate], value, candidate == document.trait)
        for candidate, value in ours.items()
        if candidate in theirs
    ]
    return tuple(sorted(shifts, key=lambda shift: (-shift.change, shift.candidate)))


def _means(document: RunDocument, arm: str) -> dict[str, float]:
    runs = [one.margins for one in document.arms if one.arm == arm]
    names = dict.fromkeys(name for margins in runs for name in margins)
    values = {name: finite([margins.get(name) for margins in runs]) for name in names}
    return {name: math.fsum(found) / len(found) for name, found in values.items() if found}


def _place(order: list[str], candidate: str) -> int:
    return order.index(candidate) if candidate in order else len(order)
