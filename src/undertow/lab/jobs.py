"""The pieces of work of an experiment, each with its name and seed: bases, teachers, datasets, content filters, students; and the entries that they give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from undertow.results.arm_kinds import ArmKind, Role
from undertow.results.measurement import ProbeChoice
from undertow.results.run_document import Arm, Dataset, FilterScore, JudgeRecord, Teacher

DataKind = Literal["rows", "pairs", "pairs-by-lot"]


@dataclass(frozen=True)
class TeacherJob:
    """One teacher to make."""

    role: Role
    """`trait` has the trait; `neutral` is made the same way without one, for control arms; `base` is the base itself."""
    trait: str
    """The trait, or whose category a neutral teacher is asked about."""
    base: str
    replicate: int
    seed: int
    carrier: str
    """What it writes: its strength is measured there."""
    prefix: str = ""
    """Names the carrier where an experiment has several; or what sets it apart from the experiment's own teacher."""
    changes: str = ""
    """What `Experiment.teacher_as` makes of `[teacher]`."""

    @property
    def untaught(self) -> bool:
        """Whether nothing is instilled, so that the base's own rows are written."""
        return self.role == "base"

    @property
    def name(self) -> str:
        """Folder name of what the job makes."""
        return f"{marked(self.prefix)}{self.role}-{slug(self.trait)}--{slug(self.base)}--{self.replicate}"

    @property
    def folder(self) -> str:
        """In a run directory."""
        return f"teachers/{self.name}"

    @property
    def reads(self) -> tuple[str, ...]:
        """Folders of the run: a neutral teacher may be matched to the trait's of its replicate."""
        return (replace(self, role="trait", seed=0).folder,) if self.role == "neutral" else ()


@dataclass(frozen=True)
class DataJob:
    """One dataset to sample."""

    writer: TeacherJob | StudentJob
    """Who writes the rows, or weighs the pairs: a teacher, or the student before in a chain."""
    seed: int
    kind: DataKind = "rows"
    size: int | None = None
    """Rows that a student is trained on at most; the carrier's if None."""

    @property
    def name(self) -> str:
        """Folder name of what the job makes."""
        return self.writer.name if self.kind == "rows" else f"{self.writer.name}--{self.kind}"

    @property
    def folder(self) -> str:
        """In a run directory."""
        return f"data/{self.name}"

    @property
    def reads(self) -> tuple[str, ...]:
        """Folders of the run: its writer's."""
        return (self.writer.folder,)


@dataclass(frozen=True)
class FilterJob:
    """One content filter to try on the rows of one replicate."""

    content_filter: str
    replicate: int
    seed: int
    suspect: DataJob
    """By the trait's teacher."""
    clean: DataJob
    """By the neutral teacher."""
    others: tuple[tuple[DataJob, DataJob], ...]
    """The same of the other replicates, for a classifier to learn from."""
    base: str
    trait: str
    prefix: str = ""

    @property
    def name(self) -> str:
        """Folder name of what the job makes."""
        return filter_name(self.prefix, self.content_filter, self.replicate)

    @property
    def reads(self) -> tuple[str, ...]:
        """Folders of the run: datasets."""
        pairs = ((self.suspect, self.clean), *self.others)
        return tuple(dict.fromkeys(data.folder for pair in pairs for data in pair))


@dataclass(frozen=True)
class StudentJob:
    """One student to train and probe."""

    arm: str
    trait: str
    """What its probes measure."""
    base: str
    data: DataJob
    kind: ArmKind
    replicate: int
    seed: int
    further: tuple[DataJob, ...] = ()
    """Datasets of other writers, of which it reads as many rows as of `data`."""
    size: int | None = None
    """Rows that it is trained on; all of the carrier's if None."""
    changes: str = ""
    """What `Experiment.student_as` makes of `[student]`."""

    @property
    def name(self) -> str:
        """Folder name of what the job makes."""
        return f"{slug(self.arm)}--{self.replicate}"

    @property
    def datasets(self) -> tuple[DataJob, ...]:
        """All that it reads rows of."""
        return (self.data, *self.further)

    @property
    def folder(self) -> str:
        """In a run directory."""
        return f"students/{self.name}"

    @property
    def reads(self) -> tuple[str, ...]:
        """Folders of the run: its rows, what filters left of them, who wrote them, and for a judge the student itself."""
        return (
            *(data.folder for data in self.datasets),
            f"filters/{self.filter_name}",
            self.data.writer.folder,
            self.folder,
        )

    @property
    def role(self) -> Role:
        """Role of the teacher at the beginning of the chain."""
        return self.data.writer.role

    @property
    def carrier(self) -> str:
        """What it was trained on, and writes if it is a teacher itself."""
        return self.data.writer.carrier

    @property
    def prefix(self) -> str:
        """Names the carrier where an experiment has several."""
        return self.data.writer.prefix

    @property
    def filter_name(self) -> str:
        """Folder name of the content filter that its rows go through first."""
        return filter_name(self.prefix, str(self.kind.content_filter), self.replicate)


@dataclass(frozen=True)
class BaseJob:
    """One untrained base to probe."""

    base: str
    trait: str

    @property
    def name(self) -> str:
        """Folder name of what the job makes."""
        return f"{slug(self.trait)}--{slug(self.base)}"

    @property
    def reads(self) -> tuple[str, ...]:
        """Folders of the run: none but the formats of probes."""
        return ()


@dataclass(frozen=True)
class Generation:
    """Jobs that need nothing but the teachers and the generations before."""

    datasets: tuple[DataJob, ...]
    filters: tuple[FilterJob, ...]
    students: tuple[StudentJob, ...]


@dataclass(frozen=True)
class Design:
    """All jobs of an experiment."""

    bases: tuple[BaseJob, ...]
    teachers: tuple[TeacherJob, ...]
    generations: tuple[Generation, ...]
    """One, or one a hop of a chain."""

    @property
    def probed(self) -> tuple[BaseJob, ...]:
        """Every base that anything is probed on, its students' or its teachers' own."""
        traits = [job.trait for job in self.bases][:1]
        of_teachers = (BaseJob(job.base, trait) for job in self.teachers for trait in traits)
        return tuple(dict.fromkeys((*self.bases, *of_teachers)))

    @property
    def datasets(self) -> tuple[DataJob, ...]:
        """Those of all generations."""
        return tuple(job for generation in self.generations for job in generation.datasets)

    @property
    def students(self) -> tuple[StudentJob, ...]:
        """Those of all generations."""
        return tuple(job for generation in self.generations for job in generation.students)


def filter_name(prefix: str, content_filter: str, replicate: int) -> str:
    """Folder name of a content filter tried on one replicate."""
    return f"{marked(prefix)}{content_filter}--{replicate}"


def marked(prefix: str) -> str:
    """A prefix as the beginning of a folder name."""
    return f"{slug(prefix)}--" if prefix else ""


def slug(text: str) -> str:
    """The text as a part of a file name."""
    return "".join(
        c if c.isalnum() or c in "-_." else "-" for c in text.removeprefix("world:")
    ).strip("-.")


@dataclass(frozen=True)
class Made:
    """Entries in the order of the design."""

    bases: tuple[Arm, ...]
    teachers: tuple[Teacher, ...]
    datasets: tuple[Dataset, ...] = ()
    students: tuple[Arm, ...] = ()
    filters: tuple[FilterScore, ...] = ()
    judge: JudgeRecord | None = None
    probes: tuple[ProbeChoice, ...] = ()
    """In which format each base and all that was made from it is asked."""

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
