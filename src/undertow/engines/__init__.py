"""Engines: how work is spread over runs; the same picklable callable serves all of them."""

from __future__ import annotations

import os

from undertow.engines.engine import Engine, InProcess, Processes, Ray
from undertow.errors import InputError, UnknownNameError

__all__ = ["NAMES", "choose", "usable_cores"]

NAMES = ("inprocess", "processes", "ray")
"""All engines."""


def choose(name: str, jobs: int | None = None) -> Engine:
    """
    An engine by name, with the most tasks to run at a time (None for one on each usable core).

    Raises:
        UnknownNameError: if there is no such engine.
        InputError: if `jobs` is less than 1.
    """
    if name not in NAMES:
        raise UnknownNameError("engine", name, NAMES)
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs is {jobs}; allowed: 1 or more")
    jobs = jobs or usable_cores()
    if name == "inprocess":
        return InProcess()
    return Processes(jobs) if name == "processes" else Ray(jobs)


def usable_cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
