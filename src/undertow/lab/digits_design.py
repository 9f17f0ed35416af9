"""What the digits experiment varies: its configuration and its arms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from undertow.lab.perceptrons import Recipe

PIXELS = 64
CLASSES = 10
"""Class logits; the auxiliary ones follow them."""

Start = Literal["reference", "foreign-reference"]
Teacher = Literal["teacher", "permuted-teacher", "reference"]


class DigitsConfig(BaseModel):
    """The table `[digits]` of an experiment file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    replicates: int = Field(default=5, ge=2, le=64)
    """Each renews the split, the initialisations, the teachers, the noise and the orders."""
    hidden: tuple[int, ...] = Field(default=(256, 256), min_length=1)
    """Widths of the hidden layers."""
    auxiliary: int = Field(default=3, ge=2)
    """Auxiliary logits, on which no teacher is trained."""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the digits that is held out to measure accuracy."""
    teacher_epochs: int = Field(default=20, ge=1)
    student_epochs: int = Field(default=10, ge=1)
    images: int = Field(default=20_000, ge=1)
    """Noise images that students are trained on, U(-1, 1) in every pixel."""
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=3e-4, gt=0)
    """Of Adam, for teachers and students."""
    level: float = Field(default=0.95, gt=0, lt=1)
    """Confidence level of the comparisons."""

    @property
    def outputs(self) -> int:
        """Class logits and auxiliary ones."""
        return CLASSES + self.auxiliary

    @property
    def widths(self) -> tuple[int, ...]:
        """Of every layer, pixels and logits included."""
        return (PIXELS, *self.hidden, self.outputs)

    def recipe(self, epochs: int) -> Recipe:
        """Adam on shuffled batches for so many epochs."""
        return Recipe(epochs, self.batch_size, self.learning_rate)


@dataclass(frozen=True)
class Student:
    """One arm of students: where it starts, whom it hears, on which logits."""

    arm: str
    start: Start
    teacher: Teacher
    logits: Literal["auxiliary", "all"] = "auxiliary"


TEACHERS: tuple[Teacher, ...] = ("teacher", "permuted-teacher")
"""Both start from `reference`; the second learns labels that were permuted among the digits."""

STUDENTS = (
    Student("same-init", "reference", "teacher"),
    Student("foreign-init", "foreign-reference", "teacher"),
    Student("all-logits", "reference", "teacher", "all"),
    Student("untrained-teacher", "reference", "reference"),
    Student("permuted-labels", "reference", "permuted-teacher"),
)
"""The arms that are trained on noise."""
