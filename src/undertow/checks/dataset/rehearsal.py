"""The check `rehearsal`: a short run of the plan, and what it says of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from undertow.checks.dataset.scan_subject import Coverage, ScanSubject
from undertow.data.seeds import derive
from undertow.influence import prediction
from undertow.influence.prediction import Prediction
from undertow.results.measurement import Measurement, not_applicable

if TYPE_CHECKING:
    from undertow.influence.plan_rehearsal import Rehearsed
    from undertow.models.objectives import Objective

ID = "rehearsal"
BROKEN = 0.5
"""Answer mass below which answers count as broken."""


def rehearsal(subject: ScanSubject) -> list[Measurement]:
    """
    Takes the first steps of your training on a sample, several times over, and says how far the whole would move each trait.

    Why it matters. It is the only check that judges transfer: in logits of each trait, under your plan, on your base. It
    copies the plan's adapter, optimiser, schedule and chat template, takes at most a quarter of its steps, reads every
    probe on the way, and continues what it read to the plan's end. How readings become transfer, and how far off that
    may be, was learned from students that were really trained on data of teachers of your base (`undertow calibrate`).

    What it cannot tell you. It sees the traits that it probes, in the chat context that it probes them in: a preference
    that shows only behind a trigger is invisible to it. A teacher of a kind that the calibration has none of can be
    further off than the interval says. Very strong shifts are continued badly: the interval is wide there. It knows
    nothing of what ordinary text in the rows teaches openly, beyond what its first steps learn of it. Preference pairs are
    rehearsed by DPO, and no calibration is for them: what is said is an estimate, and the verdict stays open.

    What to do. Flagged: do not train on these rows as they are; look at the sources one by one, take fewer of the
    flagged one's rows or fewer steps (the page says how many stay under the limit), or ask for rows by a teacher of
    another base. Undecided: give more rows, or calibrate on more teachers.
    """
    if not subject.traits:
        return [not_applicable(ID, subject.name, "no trait is probed")]
    if subject.pairs and subject.plan.whole:
        reason = (
            f"preference pairs are rehearsed with LoRA, and the plan trains {subject.plan.whole}"
        )
        return [not_applicable(ID, subject.name, reason)]
    if subject.pairs:
        # Tables are learned from fine-tunes on completions.
        subject = replace(subject, coverage=Coverage())
    rows, objective = _material(subject)
    if not rows:
        return [not_applicable(ID, subject.name, "no pair fits whole into the context")]
    rehearsed, predicted, certain = _rehearse(subject, rows, objective)
    broken = _broken(rehearsed)
    return [
        _measurement(subject, index, rehearsed, predicted, stopped_early=certain, broken=broken)
        for index in range(len(subject.traits))
    ]


def _material(subject: ScanSubject) -> tuple[Sequence[Any], Objective[Any] | None]:
    """
    What is trained on, and for what: completions, or pairs by DPO, of which rows that are no pairs are left out.
    """
    if not subject.pairs:
        return subject.encoded, None
    from undertow.models.objectives import Preferences, encode_pairs

    pairs = [row for row in subject.rows if row.rejected is not None]
    encoded = encode_pairs(subject.student, pairs, subject.longest, subject.plan.policy)
    return encoded, Preferences(subject.settings.beta)


def _rehearse(
    subject: ScanSubject, rows: Sequence[Any], objective: Objective[Any] | None
) -> tuple[Rehearsed, Prediction, bool]:
    from undertow.influence.plan_rehearsal import STAGES, Rehearsal
    from undertow.influence.probes import probe_set

    probes = probe_set(subject.trained, subject.traits, subject.system_prompt)
    run = Rehearsal(
        subject.student,
        rows,
        subject.plan,
        probes,
        derive(subject.seed, ID),
        planned_rows=subject.planned_rows,
        objective=objective,
    )
    while True:
        rehearsed = run.advance()
        stage = len(rehearsed.steps)
        predicted = _predicted(subject, rehearsed, stage)
        if predicted is None:
            continue
        # Without a calibration, or with one for another loss, nothing can be cleared early.
        known = subject.coverage.table is not None and not subject.coverage.other_loss
        if (known and prediction.cleared(predicted, subject.settings.limit)) or stage == STAGES:
            return rehearsed, predicted, stage < STAGES


def _predicted(subject: ScanSubject, rehearsed: Rehearsed, stage: int) -> Prediction | None:
    read = prediction.readings(rehearsed, stage)
    if subject.coverage.table is None:
        return prediction.uncalibrated(read, len(subject.traits), subject.settings.level)
    look = prediction.look_of(subject.coverage.table, stage)
    return prediction.predict(read, look) if look else None


def _broken(rehearsed: Rehearsed) -> bool:
    return bool(rehearsed.mass[-1].mean(0).min() < BROKEN)


def _measurement(
    subject: ScanSubject,
    index: int,
    rehearsed: Rehearsed,
    predicted: Prediction,
    *,
    stopped_early: bool,
    broken: bool,
) -> Measurement:
    reason = f"{rehearsed.steps[-1]} of {rehearsed.planned_steps} steps"
    if stopped_early:
        reason += ", stopped because all was clear"
    if broken:
        reason += "; the answers break on the way"
    details: dict[str, float | int | str] = {
        f"moved at step {step}": float(moved)
        for step, moved in zip(rehearsed.steps, rehearsed.moved[:, :, index].mean(1), strict=True)
    }
    details["nats per token beyond the base's own"] = rehearsed.excess
    return Measurement(
        check=ID,
        subject=subject.name,
        trait=subject.traits[index].name,
        estimate=float(predicted.estimate[index]),
        low=float(predicted.low[index]),
        high=float(predicted.high[index]),
        level=subject.settings.level,
        n=f"{rehearsed.adapters} adapters",
        limit=subject.settings.limit,
        unit="logits",
        reason=reason,
        details=details,
    )
