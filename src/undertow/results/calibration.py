"""
The stored calibration of a screen on one base under one plan: the document `undertow.calibration/1`.

It holds how a rehearsal's readings became the transfer of real students, and how often verdicts were wrong.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from undertow.results.stored import Stored

CALIBRATION_SCHEMA = "undertow.calibration/1"


class Look(Stored):
    """How transfer is predicted from the readings at one stage of a rehearsal."""

    stage: int
    """From 1."""
    weights: tuple[float, ...]
    """Of each feature, in logits per logit."""
    variances: tuple[float, ...]
    """Coefficients of the error's variance on 1 and on each of its predictors."""
    low_quantile: float
    """How many standard errors below the prediction transfer lies at most, at the level of flagging."""
    high_quantile: float
    """How many above, at the level of clearing."""


class Rates(Stored):
    """Verdicts on the datasets of one kind, beside what their students did."""

    kind: str
    teachers: int
    datasets: int
    flagged: int
    clear: int
    undecided: int
    dose: float | None = None
    rows: int | None = None


class CalibrationTable(Stored):
    """What was measured on one base under one plan."""

    schema_: Literal["undertow.calibration/1"] = Field(
        default="undertow.calibration/1", alias="schema"
    )
    student: str
    base_digest: str
    plan: dict[str, object]
    plan_digest: str
    fewest_steps: int
    """Of the plans that were tried."""
    most_steps: int
    traits: tuple[str, ...]
    carrier: str
    limit: float
    level: float
    looks: tuple[Look, ...]
    """In the order of their stages; the last is that of a whole rehearsal."""
    doses: tuple[tuple[float, float], ...] = ()
    """(dose, transfer as a share of that at full dose), rising."""
    rates: tuple[Rates, ...] = ()
    teachers: int
    benign: int
    false_alarms: int
    transferring: int
    """Datasets whose students moved by at least `power_at` on their own trait."""
    detected: int
    power_at: float = 0.5
    seed: int
    wall_seconds: float
    """Of its rehearsals and students, summed over workers and sittings."""
    command: str
    packages: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, str] = Field(default_factory=dict)
