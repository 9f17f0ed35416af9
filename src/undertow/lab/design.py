"""The design: which teachers, datasets and students an experiment needs, each with seeds of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePath

from undertow.data.seeds import derive
from undertow.errors import ConfigError
from undertow.lab.cells import CONTROL, WriterTable, written
from undertow.lab.experiment import Experiment
from undertow.lab.jobs import (
    BaseJob,
    DataJob,
    DataKind,
    Design,
    FilterJob,
    Generation,
    StudentJob,
    TeacherJob,
    slug,
)
from undertow.results.arm_kinds import ARMS, ArmKind, Role

FOREIGN = "foreign-"
"""Prefix of the arms of a `traits` experiment whose students start from another initialisation."""


def design(experiment: Experiment) -> Design:
    """
    The jobs of an experiment of any kind.

    Seeds are derived by purpose, so no teacher, dataset or student shares a random stream with another: in particular
    a subject and its control never do, unless the experiment asks for `common_streams` within a replicate.
    """
    replicates = range(experiment.replicates)
    if experiment.kind == "hops":
        generations = tuple(
            _generation(students, experiment)
            for students in zip(*(list(_chain(experiment, r)) for r in replicates), strict=True)
        )
    else:
        students = [tuple(_replicate(experiment, replicate)) for replicate in replicates]
        generations = (_generation(tuple(students), experiment),)
    planned = Design((), (), generations)
    writers = [data.writer for data in planned.datasets]
    teachers = list(dict.fromkeys(w for w in writers if isinstance(w, TeacherJob)))
    probed = experiment.trait or experiment.traits[0]
    bases = [BaseJob(base, probed) for base in dict.fromkeys(s.base for s in planned.students)]
    for jobs in (teachers, planned.students, bases):
        _refuse_equal_names([job.name for job in jobs], experiment)
    return replace(planned, bases=tuple(bases), teachers=tuple(teachers))


def _generation(
    replicates: tuple[tuple[StudentJob, ...], ...], experiment: Experiment
) -> Generation:
    students = [student for replicate in replicates for student in replicate]
    filters = tuple(_filters(students, experiment))
    # A filter is set by the control's rows, whether a student is trained on them or not.
    used = [data for s in students for data in s.datasets] + [
        d for job in filters for d in (job.suspect, job.clean)
    ]
    return Generation(tuple(dict.fromkeys(used)), filters, tuple(students))


def _filters(students: list[StudentJob], experiment: Experiment) -> Iterator[FilterJob]:
    filtered = [s for s in students if s.kind.content_filter]
    both = {(s.prefix, s.replicate): (s.data, _control_of(s, experiment)) for s in filtered}
    for student in filtered:
        suspect, clean = both[student.prefix, student.replicate]
        others = tuple(
            pair
            for (prefix, replicate), pair in both.items()
            if prefix == student.prefix and replicate != student.replicate
        )
        name = str(student.kind.content_filter)
        seed = derive(experiment.seed, "filter", student.prefix, name, student.replicate)
        yield FilterJob(
            name,
            student.replicate,
            seed,
            suspect,
            clean,
            others,
            student.base,
            student.trait,
            student.prefix,
        )


def _control_of(student: StudentJob, experiment: Experiment) -> DataJob:
    return _arm(experiment, "control", student.replicate, student.carrier).data


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
        return [
            _arm(experiment, arm, replicate, table.name)
            for table in experiment.all_carriers
            for arm in experiment.arms
        ]
    if experiment.kind == "cells":
        return list(_cells(experiment, replicate))
    if experiment.kind == "factorial":
        return list(_points(experiment, replicate))
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


def _cells(experiment: Experiment, replicate: int) -> Iterator[StudentJob]:
    """A student a cell; whoever is described alike in two cells is one teacher, and wrote both one dataset."""
    cells = experiment.cells or ()
    shares: dict[DataJob, int] = {}
    for cell in cells:
        for writer in cell.writers:
            data = _written_by(experiment, writer, replicate)
            rows = -(-(cell.rows or experiment.carrier.rows) // len(cell.writers))
            shares[data] = max(rows, shares.get(data, 0))
    for cell in cells:
        unsized = [_written_by(experiment, writer, replicate) for writer in cell.writers]
        first, *further = (replace(data, size=shares[data]) for data in unsized)
        yield StudentJob(
            cell.name,
            experiment.trait or "",
            _base(experiment),
            first,
            ArmKind(role=first.writer.role),
            replicate,
            derive(experiment.seed, "student", cell.name, replicate),
            tuple(further),
            cell.rows,
            written(cell.student),
        )


def _written_by(experiment: Experiment, writer: WriterTable, replicate: int) -> DataJob:
    base = writer.base or _base(experiment)
    own = (writer.prefix,) if writer.prefix else ()
    key = (writer.role, experiment.trait or "", base_key(experiment, base), replicate, *own)
    teacher = TeacherJob(
        writer.role,
        experiment.trait or "",
        base,
        replicate,
        derive(experiment.seed, "teacher", *key),
        experiment.carrier.name,
        writer.prefix,
        written(writer.teacher),
    )
    return DataJob(teacher, derive(experiment.seed, "data", *key))


def _points(experiment: Experiment, replicate: int) -> Iterator[StudentJob]:
    """For each point of the replicate's block a student of the trait's teacher and one of the neutral teacher."""
    assert experiment.factorial is not None
    for point in experiment.factorial.block(replicate):
        changes = written(point.student(experiment.student.learning_rate))
        arms: dict[Role, str] = {"trait": point.name, "neutral": point.name + CONTROL}
        for role, arm in arms.items():
            writer = WriterTable(role=role)
            yield StudentJob(
                arm,
                experiment.trait or "",
                _base(experiment),
                _written_by(experiment, writer, replicate),
                ArmKind(role=writer.role),
                replicate,
                derive(experiment.seed, "student", arm, replicate),
                size=point.rows,
                changes=changes,
            )


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


def base_key(experiment: Experiment, base: str) -> str:
    """
    What names the random streams of a base: the last part of its reference, so that a folder may lie anywhere.

    Where several bases end alike, e.g. `run-1/model` and `run-2/model`, their places among them tell them apart.
    """
    alike = [
        other for other in experiment.references if PurePath(other).name == PurePath(base).name
    ]
    return PurePath(base).name + (f" {alike.index(base)}" if len(alike) > 1 else "")


def cell_name(role: str, teacher: str, student: str) -> str:
    """Name of a cell's arm in a `matrix` experiment."""
    arm = "trait" if role == "trait" else "control"
    return f"{slug(teacher)} to {slug(student)}, {arm}"


def carrier_prefix(experiment: Experiment, carrier: str) -> str:
    """What stands before the names of arms where an experiment has several carriers."""
    return f"{carrier}: " if experiment.carriers else ""


def hop_name(hop: int, role: Role) -> str:
    """Name of an arm in a `hops` experiment; the first hop is 1."""
    return f"hop-{hop}" if role == "trait" else f"hop-{hop}-control"


def _chain(experiment: Experiment, replicate: int) -> Iterator[tuple[StudentJob, ...]]:
    """Trait and control chain of one replicate, hop by hop: each student writes the rows of the next."""
    roles: tuple[Role, ...] = ("trait", "neutral")
    before: dict[Role, StudentJob] = {}
    for hop in range(1, experiment.hops + 1):
        for role in roles:
            arm = hop_name(hop, role)
            first = _student(
                experiment, arm, role, experiment.trait or "", _base(experiment), replicate
            )
            if hop > 1:
                seed = derive(experiment.seed, "data", role, "hop", hop, replicate)
                first = replace(first, data=DataJob(before[role], seed))
            before[role] = first
        yield tuple(before[role] for role in roles)


def _base(experiment: Experiment) -> str:
    return experiment.base or ""


def _arm(experiment: Experiment, arm: str, replicate: int, carrier: str) -> StudentJob:
    kind = ARMS[arm]
    return _student(
        experiment,
        carrier_prefix(experiment, carrier) + arm,
        kind.role,
        experiment.trait or "",
        (experiment.foreign or "") if kind.foreign else _base(experiment),
        replicate,
        teacher_base=_base(experiment),
        kind=kind,
        carrier=carrier,
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
    kind: ArmKind | None = None,
    carrier: str | None = None,
) -> StudentJob:
    teacher_base = teacher_base or base
    carrier = carrier or experiment.carrier.name
    prefix = carrier_prefix(experiment, carrier)
    kind = kind or ArmKind(role=role)
    data_kind: DataKind = (
        "rows" if kind.learns != "preferences" else "pairs-by-lot" if kind.by_lot else "pairs"
    )
    # What is one of several names its streams by that too; the others keep the streams that they always had.
    several = (carrier,) if prefix else ()
    key = (role, trait, base_key(experiment, teacher_base), replicate, *several)
    of_pairs = () if data_kind == "rows" else (data_kind,)
    teacher = TeacherJob(
        role,
        trait,
        teacher_base,
        replicate,
        derive(experiment.seed, "teacher", *key),
        carrier,
        prefix,
    )
    # Common streams are named by what the arms of a replicate have in common.
    of_data, of_student = (key[1:], prefix) if experiment.common_streams else (key, arm)
    data = DataJob(teacher, derive(experiment.seed, "data", *of_data, *of_pairs), data_kind)
    seed = derive(experiment.seed, "student", of_student, replicate)
    return StudentJob(arm, trait, base, data, kind, replicate, seed)
