"""Engines by name; the engine that works in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.tasks import Marker, Power
from undertow.engines import choose, usable_cores
from undertow.engines.engine import InProcess, Processes
from undertow.engines.ray_cluster import Ray
from undertow.errors import InputError, UnknownNameError


def test_each_name_gives_its_engine() -> None:
    """The three engines, with the jobs asked for or one for each usable core."""
    assert choose("inprocess", 4) == InProcess()
    assert choose("processes", None) == Processes(usable_cores())
    assert choose("ray", 3, gpus=0.5) == Ray(3, None, 0.5)


def test_a_cluster_is_named_by_its_address() -> None:
    """What stands behind ray:// is the address; nothing behind it is no engine."""
    assert choose("ray://head:6379") == Ray(None, "head:6379")
    with pytest.raises(UnknownNameError, match="unknown engine 'ray://'"):
        choose("ray://")


def test_only_nodes_have_shares() -> None:
    """Processes of one machine are given no part of a GPU: the error names what was asked, the engine and those that can."""
    with pytest.raises(
        InputError, match=r"^0\.5 GPUs and 2 GB of memory for each .* 'processes'; allowed: 'ray'"
    ):
        choose("processes", gpus=0.5, memory=2)


def test_an_unknown_engine_names_the_nearest() -> None:
    """The error lists the engines."""
    with pytest.raises(
        UnknownNameError, match="inprocess, processes, ray, ray://ADDRESS; did you mean 'processes'"
    ):
        choose("process", 1)


@pytest.mark.parametrize("jobs", [0, -2])
def test_less_than_one_job_is_refused(jobs: int) -> None:
    """The error states the value and what is allowed."""
    with pytest.raises(InputError, match=f"jobs is {jobs}; allowed: 1 or more"):
        choose("processes", jobs)


def test_results_come_in_order_and_one_at_a_time(tmp_path: Path) -> None:
    """A task runs only when its result is asked for."""
    results = InProcess().map(Marker(tmp_path), [1, 2])

    assert next(results) == (0, 1)
    assert not (tmp_path / "finished-2").exists()
    assert list(results) == [(1, 2)]


def test_a_failed_task_ends_the_work(tmp_path: Path) -> None:
    """The exception of a task reaches the caller, and later tasks never start."""
    with pytest.raises(UnknownNameError):
        list(InProcess().map(Marker(tmp_path), [0, 1]))

    assert list(tmp_path.iterdir()) == []


def test_nothing_to_do_gives_nothing() -> None:
    """No tasks, no results."""
    assert list(InProcess().map(Power(2), [])) == []
