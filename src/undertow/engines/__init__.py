"""Engines: how work is spread over runs; the same picklable callable serves all of them."""

from __future__ import annotations

from undertow.engines.engine import Engine, InProcess, Processes, usable_cores
from undertow.engines.ray_cluster import Ray
from undertow.errors import InputError, UnknownNameError

__all__ = ["CLUSTER", "NAMES", "choose", "usable_cores"]

NAMES = ("inprocess", "processes", "ray")
"""All engines; `ray://ADDRESS` names a cluster besides."""

CLUSTER = "ray://"
"""Begins the name of a cluster: its address stands behind it."""


def choose(
    name: str,
    jobs: int | None = None,
    *,
    gpus: float | None = None,
    memory: float | None = None,
    lasting: bool = False,
) -> Engine:
    """
    An engine by name, with the most tasks to run at a time (None for one on each usable core, or in each place of a cluster).

    `gpus` and `memory` (GB) are what each job takes of a Ray node. `lasting` processes stay from one piece of work to the
    next, and end with the engine's block.

    Raises:
        UnknownNameError: if there is no such engine.
        InputError: if `jobs` is less than 1, or the engine has no nodes to take anything of.
    """
    plain, at = ("ray", name.removeprefix(CLUSTER)) if name.startswith(CLUSTER) else (name, None)
    if plain not in NAMES or at == "":
        raise UnknownNameError("engine", name, [*NAMES, f"{CLUSTER}ADDRESS"])
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs is {jobs}; allowed: 1 or more")
    if plain == "ray":
        return Ray(jobs, at, gpus, memory)
    if gpus is not None or memory is not None:
        raise InputError(
            f"{_told(gpus, memory)} for each job is a share of a Ray node, and the engine is '{name}'; allowed: 'ray', "
            f"'{CLUSTER}ADDRESS'",
            hint="--engine ray, or without --gpus-per-job and --memory-per-job",
        )
    return InProcess() if name == "inprocess" else Processes(jobs or usable_cores(), lasting)


def _told(gpus: float | None, memory: float | None) -> str:
    shares = (("GPUs", gpus), ("GB of memory", memory))
    return " and ".join(f"{amount:g} {name}" for name, amount in shares if amount is not None)
