"""The level of a diff whose control students learn from one file, simulated: rows leave their mark on who learns them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.audit.test_control_students import students
from tests.checks.tuned.simulated_readings import reading, subject
from undertow.audit import model_readings as module
from undertow.audit.control_students import CleanRows, deal
from undertow.audit.model_readings import ReadModel
from undertow.checks.tuned.diff_behaviour import diff_behaviour
from undertow.checks.tuned.diff_subject import ModelReading
from undertow.data.plan import TrainingPlan

TRAITS, QUESTIONS, ROWS, STUDENTS = 16, 10, 24, 8
ROW, ADAPTER, QUESTION = 0.05 * (0.3 * ROWS) ** 0.5, 0.05 * 0.7**0.5, 0.05
"""Deviations in logits: what a row does, an adapter, a question; of a student's variance .3 are its rows', as was measured."""
PLAN = TrainingPlan(batch_size=ROWS, max_steps=1)


def moved(rng: np.random.Generator, rows: Sequence[np.ndarray]) -> np.ndarray:
    """(traits, questions): margins of a student of these rows, each of which is what it does to every trait."""
    student = np.mean(rows, axis=0) + rng.normal(0, ADAPTER, TRAITS)
    margins: np.ndarray = student[:, None] + rng.normal(0, QUESTION, (TRAITS, QUESTIONS))
    return margins


class Learning:
    """Stands in for runs that are trained side by side."""

    def __init__(self, rng: np.random.Generator, parts: Sequence[Sequence[Any]]) -> None:
        """One student a part."""
        self.students = [moved(rng, part) for part in parts]

    def advance_to(self, step: int) -> None:
        """They have learned already."""

    @contextmanager
    def only(self, place: int) -> Iterator[np.ndarray]:
        """One of them."""
        yield self.students[place]


class Reading:
    """Stands in for a reader of models."""

    def read(self, margins: np.ndarray, ref: str) -> ModelReading:
        """What a student answers."""
        return replace(reading(margins), ref=ref)


def alarms(monkeypatch: pytest.MonkeyPatch, diffs: int, rows: int) -> float:
    """Share of diffs of a benign model, on rows of its own, in which a trait's interval excludes 0; files of so many rows."""
    rng = np.random.default_rng(2)

    def several_runs(base: object, parts: Sequence[Any], *rest: object, **more: object) -> Learning:
        return Learning(rng, parts)

    monkeypatch.setattr(module, "several_runs", several_runs)
    base, excluded = np.zeros((TRAITS, QUESTIONS)), 0
    for number in range(diffs):
        file = list(rng.normal(0, ROW, (rows, TRAITS)))
        parts = tuple(map(tuple, deal(file, STUDENTS, ROWS, number)))  # type: ignore[arg-type]
        clean = CleanRows(parts, "digest", PLAN)
        reads = ReadModel(SimpleNamespace(network=()), Reading())  # type: ignore[arg-type]
        controls = students(reads, clean, number)
        tuned = moved(rng, rng.normal(0, ROW, (ROWS, TRAITS)))
        made = replace(subject(base, [tuned]), controls=tuple(controls))
        excluded += any(one.low > 0 or one.high < 0 for one in diff_behaviour(made))  # type: ignore[operator]
    return excluded / diffs


def test_students_of_one_file_keep_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Eight students of one file, as they are made and counted: an interval of 16 excludes 0 in at most 5 % of 400 diffs
    (and three errors, .033), at three tenths of a student's variance that are its rows'.
    """
    assert alarms(monkeypatch, 400, STUDENTS * ROWS) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
