"""Engines by name."""

from __future__ import annotations

import pytest

from undertow.engines import choose, usable_cores
from undertow.engines.engine import InProcess, Processes, Ray
from undertow.errors import InputError, UnknownNameError


def test_each_name_gives_its_engine() -> None:
    """The three engines, with the jobs asked for or one for each usable core."""
    assert choose("inprocess", 4) == InProcess()
    assert choose("processes", None) == Processes(usable_cores())
    assert choose("ray", 3) == Ray(3)


def test_an_unknown_engine_names_the_nearest() -> None:
    """The error lists the engines."""
    with pytest.raises(
        UnknownNameError, match="inprocess, processes, ray; did you mean 'processes'"
    ):
        choose("process", 1)


@pytest.mark.parametrize("jobs", [0, -2])
def test_less_than_one_job_is_refused(jobs: int) -> None:
    """The error states the value and what is allowed."""
    with pytest.raises(InputError, match=f"jobs is {jobs}; allowed: 1 or more"):
        choose("processes", jobs)
