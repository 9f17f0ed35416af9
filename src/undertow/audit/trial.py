"""The trial of a screen: a cohort's datasets, rehearsed as a scan would, beside what students of them really do, and what the scan would have said."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from undertow.data.closed import Stored
from undertow.data.plan import TrainingPlan, packed
from undertow.data.seeds import derive, generator
from undertow.engines.engine import Engine, map_kept
from undertow.influence import prediction
from undertow.influence.plan_rehearsal import STAGES, Rehearsal, Rehearsed, remaining
from undertow.influence.prediction import Prediction, Readings
from undertow.lab.cohort import BENIGN, Ground, Member, datasets, probes_of, students
from undertow.lab.experiment_inputs import open_model
from undertow.models.training_sequences import encode_rows
from undertow.results.measurement import Verdict
from undertow.results.model_documents import Look

Matrix = tuple[tuple[float, ...], ...]


class Tried(Stored):
    """One dataset: who wrote it, what its rehearsal read, and what really happened."""

    kind: str
    base: str
    trait: str
    teacher_seed: int
    kl: float | None
    rows: int
    dose: float
    temperature: float
    without: tuple[int, ...]
    seed: int
    planned_steps: int
    steps: tuple[int, ...]
    adapters: int
    moved: Matrix
    """(readings, traits) mean over adapters, in logits."""
    moved_sd: Matrix
    """(readings, traits) standard deviation over adapters."""
    mass: tuple[float, ...]
    """Least answer mass at each reading; mean over adapters."""
    excess: float
    losses: tuple[float, ...]
    """Mean training loss around each reading, nats per token."""
    transfer: Matrix = ()
    """(students, traits) what students really moved, in logits; empty where none was trained."""
    student_mass: tuple[float, ...] = ()
    screen_seconds: float
    student_seconds: float = 0.0


@dataclass(frozen=True)
class TryMember:
    """Makes one teacher, writes, rehearses, trains; the callable that engines spread."""

    ground: Ground

    def __call__(self, member: Member) -> list[Tried]:
        """One entry a dataset."""
        writing, written = datasets(self.ground, member)
        model = open_model(self.ground.experiment, self.ground.experiment.base or "")
        probes = probes_of(model, self.ground)
        entries = []
        for sample, rows in zip(member.samples, written, strict=True):
            encoded = encode_rows(model.tokenizer, rows, self.ground.experiment.student.policy)
            started = time.perf_counter()
            chosen = generator(sample.seed, "sampled").permutation(len(encoded))[:8192]
            rehearsal = Rehearsal(
                model,
                [encoded[i] for i in chosen],
                packed(self.ground.experiment.student, [len(row) for row in encoded]),
                probes,
                derive(sample.seed, "rehearsal"),
                planned_rows=len(encoded),
            )
            # Taken to its end, so that what an earlier look would have said can be told too.
            while not rehearsal.finished:
                rehearsal.advance()
            screened = time.perf_counter()
            entry = _entry(rehearsal.result) | {
                "kind": member.writer.kind,
                "base": member.writer.base,
                "trait": member.writer.trait,
                "teacher_seed": member.writer.seed,
                "kl": writing.kl,
                "rows": len(encoded),
                "dose": sample.dose,
                "temperature": sample.temperature,
                "without": sample.without,
                "seed": sample.seed,
                "screen_seconds": screened - started,
            }
            if sample.students:
                real = students(
                    model,
                    encoded,
                    self.ground,
                    probes,
                    derive(sample.seed, "students"),
                    sample.students,
                )
                entry |= {
                    "transfer": real.margins.tolist(),
                    "student_mass": real.mass.min(1).tolist(),
                    "student_seconds": time.perf_counter() - screened,
                }
            entries.append(Tried.model_validate(entry))
        return entries


TRIED = TypeAdapter(list[Tried])
"""How a member's entries are stored."""


def try_cohort(
    ground: Ground,
    members: Sequence[Member],
    directory: Path,
    engine: Engine,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Tried]:
    """
    Every member's entries, in the order of the members. Each is stored as it is finished, so that an interrupted
    trial goes on where it stopped.
    """
    tried = map_kept(TryMember(ground), members, directory, engine, TRIED, progress)
    return [entry for entries in tried for entry in entries]


def _entry(rehearsed: Rehearsed) -> dict[str, object]:
    several = rehearsed.adapters > 1
    return {
        "planned_steps": rehearsed.planned_steps,
        "steps": rehearsed.steps,
        "adapters": rehearsed.adapters,
        "moved": rehearsed.moved.mean(1).tolist(),
        "moved_sd": (
            rehearsed.moved.std(1, ddof=1) if several else rehearsed.moved.mean(1) * 0
        ).tolist(),
        "mass": rehearsed.mass.mean(1).min(1).tolist(),
        "excess": rehearsed.excess,
        "losses": [
            float(rehearsed.losses[max(0, step - 8) : step].mean()) for step in rehearsed.steps
        ],
    }


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
    prediction_now = None
    for look in looks:
        prediction_now = prediction.predict(readings_of(entry, plan, look.stage), look)
        if prediction.cleared(prediction_now, limit):
            return prediction_now
    assert prediction_now is not None
    return prediction_now


def verdict_of(predicted: Prediction, limit: float) -> Verdict:
    """`flagged`, `clear` or `undecided`, as `audit.verdicts` judges the traits' intervals."""
    if np.any(predicted.low > limit):
        return "flagged"
    return "clear" if np.all(predicted.high < limit) else "undecided"


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
