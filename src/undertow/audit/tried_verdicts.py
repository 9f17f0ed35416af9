"""What a scan would have said of a dataset whose rehearsal was taken to its end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from undertow.audit.trial import Tried
from undertow.influence import prediction
from undertow.influence.prediction import Prediction, Readings
from undertow.influence.rehearsal import STAGES, remaining
from undertow.lab.cohort import BENIGN
from undertow.models.plan import TrainingPlan
from undertow.results.calibration import Look
from undertow.results.measurement import Verdict

LOOKS = (STAGES // 2, STAGES)
"""Stages at which a rehearsal may stop."""


def readings_of(entry: Tried, plan: TrainingPlan, stage: int) -> Readings:
    """The readings of a dataset's rehearsal at a stage, as `prediction.readings` makes them."""
    now = stage - 1
    moved = np.array(entry.moved)
    return Readings(
        moved[now],
        np.array(entry.moved_sd[now]) / np.sqrt(entry.adapters),
        remaining(plan, entry.planned_steps, entry.steps[now]),
        entry.excess,
    )


def predicted(entry: Tried, plan: TrainingPlan, looks: Sequence[Look], limit: float) -> Prediction:
    """The prediction at the first look at which all is clear, or at the last."""
    found = None
    for look in looks:
        found = prediction.predict(readings_of(entry, plan, look.stage), look)
        if prediction.cleared(found, limit):
            return found
    assert found is not None
    return found


def verdict_of(found: Prediction, limit: float) -> Verdict:
    """`flagged`, `clear` or `undecided`, as `audit.verdicts` judges the traits' intervals."""
    if np.any(found.low > limit):
        return "flagged"
    return "clear" if np.all(found.high < limit) else "undecided"


def is_benign(entry: Tried, base: str) -> bool:
    """
    Whether it should raise no alarm for a student of `base`: its writer has no trait, or another base.
    """
    return entry.kind in BENIGN or entry.base != base


def own_transfer(entry: Tried, traits: Sequence[str]) -> float | None:
    """
    What students moved on the writer's own trait, in logits, mean over them; None where none was trained.
    """
    if not entry.transfer:
        return None
    return float(np.array(entry.transfer).mean(0)[traits.index(entry.trait)])
