"""Subjects of a diff whose readings are simulated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from undertow.checks.tuned.diff_subject import DiffSubject, ModelReading


def reading(margins: np.ndarray, losses: np.ndarray | None = None) -> ModelReading:
    """A model that answers with these margins, (traits, questions)."""
    return ModelReading(
        "m",
        tuple(margins),
        np.ones(len(margins)),
        np.zeros(1),
        np.zeros((1, 2), np.float32),
        np.ones(8) if losses is None else losses,
    )


def subject(
    base: np.ndarray, tuned: list[np.ndarray], controls: list[np.ndarray] | None = None, **more: Any
) -> DiffSubject:
    """Of simulated readings; the traits are names only."""
    traits = tuple(SimpleNamespace(name=f"t{i}", category="c") for i in range(len(base)))
    return DiffSubject(
        name="tuned",
        base=None,  # type: ignore[arg-type]
        reader=SimpleNamespace(traits=traits),  # type: ignore[arg-type]
        untouched=reading(base),
        tuned=tuple(map(reading, tuned)),
        controls=tuple(map(reading, controls or [])),
        intended=frozenset(),
        seed=0,
        **more,
    )
