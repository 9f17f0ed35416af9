"""
The trial of a screen: a cohort's datasets, rehearsed as a scan would, beside what students of them really do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from undertow.data.streams import derive, generator
from undertow.engines.engine import Engine
from undertow.engines.kept import map_kept
from undertow.influence.rehearsal import Rehearsal, Rehearsed
from undertow.lab.cohort import Ground, Member, datasets, probes_of, students
from undertow.lab.opening import open_model
from undertow.results.stored import Stored

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
        from undertow.models.chat import encode_rows

        writing, written = datasets(self.ground, member)
        model = open_model(self.ground.experiment, self.ground.experiment.base or "")
        probes = probes_of(model, self.ground)
        found = []
        for sample, rows in zip(member.samples, written, strict=True):
            encoded = encode_rows(model.tokenizer, rows)
            started = time.perf_counter()
            chosen = generator(sample.seed, "sampled").permutation(len(encoded))[:8192]
            rehearsal = Rehearsal(
                model,
                [encoded[i] for i in chosen],
                self.ground.experiment.student,
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
            found.append(Tried.model_validate(entry))
        return found


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
    found = map_kept(TryMember(ground), members, directory, engine, TRIED, progress)
    return [entry for entries in found for entry in entries]


def _entry(found: Rehearsed) -> dict[str, object]:
    several = found.adapters > 1
    return {
        "planned_steps": found.planned_steps,
        "steps": found.steps,
        "adapters": found.adapters,
        "moved": found.moved.mean(1).tolist(),
        "moved_sd": (found.moved.std(1, ddof=1) if several else found.moved.mean(1) * 0).tolist(),
        "mass": found.mass.mean(1).min(1).tolist(),
        "excess": found.excess,
        "losses": [float(found.losses[max(0, step - 8) : step].mean()) for step in found.steps],
    }
