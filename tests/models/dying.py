"""A training that dies: at a step, after its checkpoint or before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from undertow.models.training_checkpoint import TrainingCheckpoint


class Killed(BaseException):
    """What no `except Exception` sees, as a kill is not."""


class Dying(TrainingCheckpoint):
    """Checkpoints every step, and dies at one of them, with or without having written it."""

    def __init__(self, path: Path, steps: int, *, written: bool) -> None:
        # Of a clock that goes, what one checkpoint costs puts off the next.
        super().__init__(path, every=0, clock=lambda: 0.0)
        self._left, self._written = steps, written

    def offer(self, *given: Any, **named: Any) -> None:
        self._left -= 1
        if self._left > 0 or self._written:
            super().offer(*given, **named)
        if self._left == 0:
            raise Killed

    def of_run(self, number: int) -> TrainingCheckpoint:
        """Of several runs one after the other the second dies."""
        path = self._path.with_name(f"{number}-{self._path.name}")
        return Dying(path, self._left if number == 1 else 10**9, written=self._written)
