"""What the replicates say: a figure for every teacher and learner, and the contrasts that each question turns on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from bench.figures import Figure
from bench.statistics import ratio_of_means
from bench.steering.design import (
    BEST,
    CLEAN,
    LEARNT,
    MEAN,
    OTHERS,
    PERSONA,
    PROMPTED,
    STEERED,
    TUNED,
    USUAL_LEARNER,
    VECTOR_STUDENTS,
    Teacher,
)
from bench.steering.taught import CONTEXTS, ReplicateReading, StudentReading, VectorReading
from undertow.stats import Interval, mean_t
from undertow.stats.multiplicity import holm

Reading = Callable[[ReplicateReading], float | None]


def figures(readings: Sequence[ReplicateReading], command: str) -> list[Figure]:
    """All, by question: A persona vectors, B learnt ones, C mean changes, D learners."""
    return [
        Figure("all: replicates", len(readings), "", command=command),
        *_teachers(readings, command),
        *_moves(readings, command),
        *_learning(readings, command),
        *_given_back(readings, command),
        *_vector_students(readings, command),
        *_learners(readings, command),
    ]


def student_of(
    reading: ReplicateReading, teacher: Teacher, learner: str = USUAL_LEARNER.name
) -> StudentReading | None:
    """None where its training diverged."""
    return next(
        (s for s in reading.students if (s.teacher, s.learner) == (teacher.name, learner)), None
    )


def moved(teacher: Teacher, learner: str = USUAL_LEARNER.name) -> Reading:
    """The student's margin beside that of the clean rows' student with the same first weights and order, in logits."""

    def read(reading: ReplicateReading) -> float | None:
        own, clean = (student_of(reading, who, learner) for who in (teacher, CLEAN))
        return own.moved - clean.moved if own and clean else None

    return read


def values(readings: Sequence[ReplicateReading], read: Reading) -> NDArray[np.float64]:
    """One a replicate that has it."""
    there = (read(reading) for reading in readings)
    return np.array([value for value in there if value is not None])


def _figure(
    name: str, sample: NDArray[np.float64], unit: str, command: str, note: str = ""
) -> list[Figure]:
    if not sample.size:
        return [Figure(name, None, unit, command=command, note="every training diverged")]
    interval: Interval = mean_t(sample)
    bounds = (interval.low, interval.high) if sample.size > 1 else (None, None)
    told = "; ".join(part for part in (f"{sample.size} teachers", note) if part)
    return [Figure(name, interval.estimate, unit, "", None, *bounds, command, told)]


def _teachers(readings: Sequence[ReplicateReading], command: str) -> list[Figure]:
    made = []
    for teacher in (TUNED, PROMPTED, *STEERED):
        own = [next(t for t in r.teachers if t.name == teacher.name) for r in readings]
        part = _question(teacher)
        made += _figure(
            f"{part}: {teacher.name}: the teacher's own margin",
            np.array([t.margin for t in own]),
            "logits of the teacher",
            command,
        )
        made += _figure(
            f"{part}: {teacher.name}: KL", np.array([t.kl for t in own]), "nats a token", command
        )
    return made


def _moves(readings: Sequence[ReplicateReading], command: str) -> list[Figure]:
    """Each question's teachers against 0, Holm over those of a question."""
    made = []
    for teachers in ((TUNED, PROMPTED), PERSONA, LEARNT, MEAN):
        samples = [values(readings, moved(teacher)) for teacher in teachers]
        corrected = holm([p_value(sample) for sample in samples])
        for teacher, sample, p in zip(teachers, samples, corrected, strict=True):
            name = f"{_question(teacher)}: {teacher.name}: students' margin"
            made += _figure(name, sample, "logits", command, f"Holm p = {p:.3g}")
    for teacher in STEERED:
        tuned = values(readings, moved(TUNED))
        share = ratio_of_means(values(readings, moved(teacher)), tuned)
        made.append(
            Figure(
                f"{_question(teacher)}: {teacher.name}: share of the tuned teacher's transfer",
                share.estimate,
                "share of the transfer",
                low=share.low if np.isfinite(share.low) else None,
                high=share.high if np.isfinite(share.high) else None,
                command=command,
                note="ratio of means, Fieller",
            )
        )
    return made


def p_value(sample: NDArray[np.float64]) -> float:
    """Two-sided, of a mean of 0, by t; 1 where fewer than two runs, or no difference between them, leave none."""
    if sample.size < 2 or np.ptp(sample) == 0:
        return 1.0
    return float(ttest_1samp(sample, 0.0).pvalue)


def _learning(readings: Sequence[ReplicateReading], command: str) -> list[Figure]:
    """How much of the teacher's change of activations students have, on rows and on questions."""
    made = []
    for teacher in (TUNED, PROMPTED, *STEERED):
        for index, (layer, where) in enumerate(CONTEXTS):
            if teacher.layer not in (None, layer):
                continue
            for field, word in (("gains", "share learnt"), ("cosines", "cosine")):
                sample = [getattr(student_of(r, teacher), field)[index] for r in readings]
                made += _figure(
                    f"{_question(teacher)}: {teacher.name}: {word} of its change at layer {layer} on {where}",
                    np.array(sample),
                    "",
                    command,
                )
    return made


def _given_back(readings: Sequence[ReplicateReading], command: str) -> list[Figure]:
    """Of a tuned teacher's students: their own mean change as one vector, over their whole change, both beside the base."""
    made = []
    own = [student_of(reading, TUNED) for reading in readings]
    students = [student for student in own if student is not None]
    for index, (layer, where) in enumerate(CONTEXTS):
        share = ratio_of_means(
            [student.given_back[index] for student in students],
            [student.moved for student in students],
        )
        bounded = np.isfinite(share.low) and np.isfinite(share.high)
        made.append(
            Figure(
                f"C: margin that a student's mean change at layer {layer} on {where} gives back",
                share.estimate,
                "share of the student's margin",
                low=share.low if bounded else None,
                high=share.high if bounded else None,
                command=command,
                note="ratio of means, Fieller",
            )
        )
    return made


def _vector_students(readings: Sequence[ReplicateReading], command: str) -> list[Figure]:
    made = []
    for teacher, layer in VECTOR_STUDENTS:
        if teacher == CLEAN:
            continue
        own, clean = ([_vector(r, who, layer) for r in readings] for who in (teacher, CLEAN))
        part = f"{_question(teacher)}: one vector at layer {layer} learnt from {teacher.name}"
        beside = np.array([one.moved - other.moved for one, other in zip(own, clean, strict=True)])
        made += _figure(f"{part}: margin", beside, "logits", command)
        for field, word, unit in (
            ("cosine", "cosine with the teacher's change", ""),
            ("kl", "KL", "nats a token"),
        ):
            sample = np.array([getattr(vector, field) for vector in own])
            made += _figure(f"{part}: {word}", sample, unit, command)
        made += _figure(
            f"{part}: margin beside the usual student's",
            beside - values(readings, moved(teacher)),
            "logits",
            command,
            "asked for after the first replicate had been read",
        )
        usual = [student_of(r, teacher) for r in readings]
        gap = [v.loss - s.loss for v, s in zip(own, usual, strict=True) if s is not None]
        name = f"{part}: loss beside the usual student's"
        made += _figure(name, np.array(gap), "nats a token", command)
    return made


def _vector(reading: ReplicateReading, teacher: Teacher, layer: int) -> VectorReading:
    return next(v for v in reading.vectors if (v.teacher, v.layer) == (teacher.name, layer))


def _learners(readings: Sequence[ReplicateReading], command: str) -> list[Figure]:
    """Every learner's transfer and loss, and the paired contrast with the usual one; Holm over learners of a teacher."""
    made = []
    for teacher in (TUNED, BEST):
        learners = [learner.name for learner, taught in OTHERS if teacher in taught]
        contrasts = []
        for name in learners:
            made += _figure(
                f"D: {name}: students' margin, {teacher.name}",
                values(readings, moved(teacher, name)),
                "logits",
                command,
            )
            made += _figure(
                f"D: {name}: loss beside AdamW's at rank 32, {teacher.name}",
                values(readings, _loss_gap(teacher, name)),
                "nats a token",
                command,
            )
            contrasts.append(values(readings, _moved_gap(teacher, name)))
        corrected = holm([p_value(sample) for sample in contrasts])
        for name, sample, p in zip(learners, contrasts, corrected, strict=True):
            made += _figure(
                f"D: {name}: margin beside AdamW's at rank 32, {teacher.name}",
                sample,
                "logits",
                command,
                f"Holm p = {p:.3g}",
            )
    return made


def _moved_gap(teacher: Teacher, learner: str) -> Reading:
    def read(reading: ReplicateReading) -> float | None:
        own, usual = moved(teacher, learner)(reading), moved(teacher)(reading)
        return own - usual if own is not None and usual is not None else None

    return read


def _loss_gap(teacher: Teacher, learner: str) -> Reading:
    def read(reading: ReplicateReading) -> float | None:
        own, usual = student_of(reading, teacher, learner), student_of(reading, teacher)
        return own.loss - usual.loss if own and usual else None

    return read


def _question(teacher: Teacher) -> str:
    return {"persona": "A", "learnt": "B", "mean": "C"}.get(teacher.origin, "all")
