"""
What an experiment made: the entries of its bases, teachers, datasets and students.
"""

from __future__ import annotations

from dataclasses import dataclass

from undertow.results.run import Arm, Dataset, Teacher


@dataclass(frozen=True)
class Made:
    """
    Entries in the order of the design.
    """

    bases: tuple[Arm, ...]
    teachers: tuple[Teacher, ...]
    datasets: tuple[Dataset, ...]
    students: tuple[Arm, ...]

    def arm(self, name: str) -> tuple[Arm, ...]:
        """
        The students of an arm, by replicate.
        """
        return tuple(sorted((s for s in self.students if s.arm == name), key=lambda s: s.replicate))
