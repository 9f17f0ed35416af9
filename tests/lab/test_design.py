"""The design shares what it must share and nothing else: above all no random stream."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from undertow.errors import ConfigError
from undertow.lab.design import design
from undertow.lab.experiment import Experiment
from undertow.results.arm_kinds import ARMS

Maker = Callable[..., Experiment]


def test_no_two_jobs_share_a_stream(tiny_experiment: Maker) -> None:
    """Every teacher, dataset and student of every replicate has a seed of its own."""
    jobs = design(tiny_experiment(arms=tuple(ARMS), foreign="other", replicates=4))
    seeds = [job.seed for job in (*jobs.teachers, *jobs.datasets, *jobs.students)]

    assert len(set(seeds)) == len(seeds)


def test_common_streams_leave_the_teacher_as_the_only_difference(tiny_experiment: Maker) -> None:
    """The arms of a replicate draw alike, teachers and replicates do not."""
    jobs = design(
        tiny_experiment(
            arms=("trait", "control", "control-base"), common_streams=True, replicates=3
        )
    )
    seeds = {(s.replicate, s.seed, s.data.seed) for s in jobs.students}

    assert len(jobs.students) == 9
    assert len(seeds) == 3
    assert len({data for _, data, _ in seeds}) == len({data for _, _, data in seeds}) == 3
    assert len({teacher.seed for teacher in jobs.teachers}) == len(jobs.teachers) == 9


def test_a_foreign_student_reads_the_trait_arms_rows(tiny_experiment: Maker) -> None:
    """Only the initialisation differs between the two arms: same teacher, same data."""
    jobs = design(tiny_experiment(arms=tuple(ARMS), foreign="other", replicates=2))
    of = {(s.arm, s.replicate): s for s in jobs.students}

    assert of["foreign", 1].data == of["trait", 1].data
    assert of["foreign", 1].base == "other"
    assert of["foreign-control", 1].data == of["control", 1].data


def test_streams_do_not_depend_on_where_a_base_lies(tiny_experiment: Maker) -> None:
    """A base's folder can be moved without other rows and students; bases whose folders are called alike share no stream."""

    def seeds(*bases: str) -> list[int]:
        experiment = tiny_experiment(kind="matrix", base=None, arms=[], bases=list(bases))
        return [teacher.seed for teacher in design(experiment).teachers]

    here = seeds("/here/owl", "/here/cat")
    alike = seeds("/run-1/model", "/run-2/model")

    assert here == seeds("/somewhere/else/owl", "cat")
    assert len(set(here)) == len(here) == 4
    assert len(set(alike)) == len(alike) == 4
    assert alike == seeds("/moved/run-1/model", "/moved/run-2/model")


def test_replicates_renew_everything(tiny_experiment: Maker) -> None:
    """Two replicates of an arm share neither teacher, data nor student seed."""
    first, second = (s for s in design(tiny_experiment(replicates=2)).students if s.arm == "trait")

    assert first.data.writer.seed != second.data.writer.seed
    assert first.data.seed != second.data.seed
    assert first.seed != second.seed


def test_a_matrix_has_a_control_in_each_cell(tiny_experiment: Maker) -> None:
    """Bases x bases cells, each with a trait and a control student; teachers are made once a base."""
    jobs = design(tiny_experiment(kind="matrix", bases=("a", "b", "c"), replicates=2))

    assert len(jobs.students) == 9 * 2 * 2
    assert len(jobs.teachers) == 3 * 2 * 2
    assert len({job.name for job in jobs.students}) == len(jobs.students)


def test_folders_that_would_be_one_are_refused(tiny_experiment: Maker) -> None:
    """Two bases of one folder name would be counted as two while being one."""
    with pytest.raises(ConfigError, match="give the folder name"):
        design(tiny_experiment(kind="matrix", bases=("a/b", "a-b"), replicates=1))


def test_a_foreign_base_reads_the_same_rows_of_every_trait(tiny_experiment: Maker) -> None:
    """With `foreign`, a `traits` experiment trains students of both bases on each dataset."""
    jobs = design(tiny_experiment(kind="traits", traits=("owl", "cat"), foreign="x", replicates=1))
    of = {student.arm: student for student in jobs.students}

    assert of["foreign-owl"].data == of["owl"].data
    assert of["foreign-control"].base == "x"
    assert len(jobs.datasets) == 3


def test_traits_share_one_control(tiny_experiment: Maker) -> None:
    """Each trait has its own teacher; one neutral teacher a replicate serves them all."""
    jobs = design(tiny_experiment(kind="traits", traits=("owl", "cat"), replicates=3))

    assert len(jobs.students) == 9
    assert sum(teacher.role == "neutral" for teacher in jobs.teachers) == 3
