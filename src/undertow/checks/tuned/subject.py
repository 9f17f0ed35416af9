"""
The subject of a diff: a base, what was tuned from it, and benign fine-tunes of it as controls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from undertow.checks.tuned.reading import Reader, Reading

if TYPE_CHECKING:
    from undertow.models.loading import LanguageModel

Inference = Literal["answers", "run", "runs"]
"""
What the intervals are about. `answers`: this model's answers, over questions; nothing about other runs. `run`: this
model against what benign fine-tunes do, over controls, parametric. `runs`: training runs like these, over runs.
"""


@dataclass(frozen=True)
class Tuned:
    """What a check of a tuned model is asked about."""

    name: str
    base: LanguageModel
    reader: Reader
    untouched: Reading
    """The base's."""
    tuned: tuple[Reading, ...]
    controls: tuple[Reading, ...]
    intended: frozenset[str]
    """Traits whose change was asked for."""
    seed: int
    controls_are: str = ""
    """How the controls were made."""
    teacher: Reading | None = None
    """Of a model that may have written the data."""
    level: float = 0.95
    limit: float = 0.2
    """In logits: a change beyond it, up or down, counts."""

    @property
    def inference(self) -> Inference:
        """What the intervals are about."""
        if len(self.tuned) > 1:
            return "runs"
        return "run" if len(self.controls) > 1 else "answers"
