"""What was measured and may be relied on: the documents `undertow.calibration/1` of a screen and `undertow.certificate/1` of a training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from undertow.data.closed import Stored


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


class Kept(Stored):
    """One probe, as it was kept."""

    trait: str
    budget: float
    """Largest change of the trait's margin from the start, up or down, in logits."""
    start: float
    end: float
    """Margins, in logits, on the wordings that were certified."""
    furthest: float
    """Largest change at any accepted step, in magnitude, in logits; never above the budget."""
    held_out: float | None = None
    """Change on wordings that nothing was held to, at the end; measured, not certified."""


class CertificateDocument(Stored):
    """What was promised of a run, and that it held at every step."""

    schema_: Literal["undertow.certificate/1"] = Field(
        default="undertow.certificate/1", alias="schema"
    )
    kept: tuple[Kept, ...]
    steps: int
    whole: int
    """Steps that were taken as the optimiser made them."""
    shortened: int
    """Steps that were taken in part."""
    refused: int
    """Steps that were not taken at all."""
    says: str = (
        "At the end of every step each named probe lay within its budget, on the wordings that were certified, in the "
        "precision in which they were read. Nothing is said of other wordings, other traits, or the model in another precision."
    )

    @property
    def holds(self) -> bool:
        """Whether every probe stayed within its budget; True of every certificate that `Budget` makes."""
        return all(one.furthest <= one.budget for one in self.kept)
