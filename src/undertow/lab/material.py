"""
What an experiment made: the entries of its bases, teachers, datasets, content filters and students.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from undertow.results.run import Arm, Dataset, Teacher
from undertow.results.scores import FilterScore, JudgeRecord


@dataclass(frozen=True)
class Made:
    """Entries in the order of the design."""

    bases: tuple[Arm, ...]
    teachers: tuple[Teacher, ...]
    datasets: tuple[Dataset, ...] = ()
    students: tuple[Arm, ...] = ()
    filters: tuple[FilterScore, ...] = ()
    judge: JudgeRecord | None = None

    def arm(self, name: str) -> tuple[Arm, ...]:
        """The students of an arm, by replicate."""
        return tuple(sorted((s for s in self.students if s.arm == name), key=lambda s: s.replicate))

    def filter(self, name: str) -> tuple[FilterScore, ...]:
        """The trials of a content filter, by replicate."""
        found = (f for f in self.filters if f.content_filter == name)
        return tuple(sorted(found, key=lambda f: f.replicate))

    def with_generation(
        self,
        datasets: tuple[Dataset, ...],
        filters: tuple[FilterScore, ...],
        students: tuple[Arm, ...],
    ) -> Made:
        """The same with the entries of a further generation."""
        return replace(
            self,
            datasets=self.datasets + datasets,
            filters=self.filters + filters,
            students=self.students + students,
        )
