"""
The design: which teachers, datasets and students an experiment needs, each with seeds of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from undertow.data.streams import derive
from undertow.errors import ConfigError
from undertow.lab.experiment import Experiment

FOREIGN = "foreign-"
"""Prefix of the arms of a `traits` experiment whose students start from another initialisation."""

Role = Literal["trait", "neutral"]
Shuffle = Literal["none", "within", "across"]


@dataclass(frozen=True)
class TeacherJob:
    """
    One teacher to make.
    """

    role: Role
    """`trait` has the trait; `neutral` is made the same way without one, for control arms."""
    trait: str
    """The trait, or whose category a neutral teacher is asked about."""
    base: str
    replicate: int
    seed: int

    @property
    def name(self) -> str:
        """Folder name of what the job makes."""
        return f"{self.role}-{slug(self.trait)}--{slug(self.base)}--{self.replicate}"


@dataclass(frozen=True)
class DataJob:
    """
    One dataset to sample from a teacher.
    """

    teacher: TeacherJob
    seed: int

    @property
    def name(self) -> str:
        """Folder name of what the job makes."""
        return self.teacher.name


@dataclass(frozen=True)
class StudentJob:
    """
    One student to train and probe.
    """

    arm: str
    trait: str
    """What its probes measure."""
    base: str
    data: DataJob
    shuffle: Shuffle
    replicate: int
    seed: int

    @property
    def name(self) -> str:
        """Folder name of what the job makes."""
        return f"{slug(self.arm)}--{self.replicate}"


@dataclass(frozen=True)
class BaseJob:
    """
    One untrained base to probe.
    """

    base: str
    trait: str

    @property
    def name(self) -> str:
        """Folder name of what the job makes."""
        return f"{slug(self.trait)}--{slug(self.base)}"


@dataclass(frozen=True)
class Design:
    """
    All jobs of an experiment.
    """

    teachers: tuple[TeacherJob, ...]
    datasets: tuple[DataJob, ...]
    students: tuple[StudentJob, ...]
    bases: tuple[BaseJob, ...]


def slug(text: str) -> str:
    """
    The text as a part of a file name.
    """
    return "".join(
        c if c.isalnum() or c in "-_." else "-" for c in text.removeprefix("world:")
    ).strip("-.")


def design(experiment: Experiment) -> Design:
    """
    The jobs of a `transfer`, `traits` or `matrix` experiment.

    Seeds are derived by purpose, so no teacher, dataset or student shares a random stream with another: in particular
    a subject and its control never do.
    """
    students = [
        student
        for replicate in range(experiment.replicates)
        for student in _replicate(experiment, replicate)
    ]
    datasets = list(dict.fromkeys(student.data for student in students))
    teachers = list(dict.fromkeys(data.teacher for data in datasets))
    probed = experiment.trait or experiment.traits[0]
    bases = [BaseJob(base, probed) for base in dict.fromkeys(s.base for s in students)]
    for jobs in (teachers, students, bases):
        _refuse_equal_names([job.name for job in jobs], experiment)
    return Design(tuple(teachers), tuple(datasets), tuple(students), tuple(bases))


def _refuse_equal_names(names: list[str], experiment: Experiment) -> None:
    # Two jobs of one name would be taken for one piece of work, and counted as two runs.
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"experiment '{experiment.name}': two different models, traits or arms give the folder name '{name}'",
                hint="rename one of the folders",
            )


def _replicate(experiment: Experiment, replicate: int) -> list[StudentJob]:
    if experiment.kind == "transfer":
        return [_arm(experiment, arm, replicate) for arm in experiment.arms]
    if experiment.kind == "traits":
        own = _traits_and_control(experiment, replicate, _base(experiment), "")
        other = experiment.foreign
        return own + (_traits_and_control(experiment, replicate, other, FOREIGN) if other else [])
    trait = experiment.trait or ""
    return [
        _student(
            experiment,
            cell_name(role, teacher, student),
            role,
            trait,
            student,
            replicate,
            teacher_base=teacher,
        )
        for teacher in experiment.bases
        for student in experiment.bases
        for role in ("trait", "neutral")
    ]


def _traits_and_control(
    experiment: Experiment, replicate: int, student_base: str, prefix: str
) -> list[StudentJob]:
    arms: list[tuple[str, Role, str]] = [(trait, "trait", trait) for trait in experiment.traits]
    # One neutral teacher serves all traits of a category: its arm has no preference to be compared with.
    arms.append(("control", "neutral", experiment.traits[0]))
    return [
        _student(
            experiment,
            prefix + arm,
            role,
            trait,
            student_base,
            replicate,
            teacher_base=_base(experiment),
        )
        for arm, role, trait in arms
    ]


def cell_name(role: str, teacher: str, student: str) -> str:
    """
    Name of a cell's arm in a `matrix` experiment.
    """
    arm = "trait" if role == "trait" else "control"
    return f"{slug(teacher)} to {slug(student)}, {arm}"


def _base(experiment: Experiment) -> str:
    return experiment.base or ""


def _arm(experiment: Experiment, arm: str, replicate: int) -> StudentJob:
    base = (experiment.foreign or "") if arm.startswith("foreign") else _base(experiment)
    role: Role = "neutral" if arm.endswith("control") else "trait"
    shuffle: Shuffle = (
        "within" if arm.endswith("within") else "across" if arm.endswith("across") else "none"
    )
    trait = experiment.trait or ""
    return _student(
        experiment,
        arm,
        role,
        trait,
        base,
        replicate,
        teacher_base=_base(experiment),
        shuffle=shuffle,
    )


def _student(
    experiment: Experiment,
    arm: str,
    role: Role,
    trait: str,
    base: str,
    replicate: int,
    *,
    teacher_base: str | None = None,
    shuffle: Shuffle = "none",
) -> StudentJob:
    teacher_base = teacher_base or base
    key = (role, trait, teacher_base, replicate)
    teacher = TeacherJob(
        role, trait, teacher_base, replicate, derive(experiment.seed, "teacher", *key)
    )
    data = DataJob(teacher, derive(experiment.seed, "data", *key))
    seed = derive(experiment.seed, "student", arm, replicate)
    return StudentJob(arm, trait, base, data, shuffle, replicate, seed)
