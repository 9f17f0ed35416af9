"""A matrix of students, simulated: jobs that sleep as long as a training takes, on one and on two nodes of Ray."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.figures import Figure, at_least, at_most
from bench.scale.one_pass import most_memory
from undertow.engines import choose
from undertow.engines.engine import Engine

COUNTS = (8, 64, 512)
OVERHEAD_OF = 64
"""Students whose time is held against that of the jobs alone."""
NODES = (1, 2)
CORES = 4
"""Of a node; sleeping jobs need none of this machine's."""

SECONDS = 1.0
"""A training takes minutes: what is added to a job weighs as much more here."""

READINGS = 100_000
"""Bytes of a student's readings, as a run sends them home."""

COMMAND = "python -m bench.scale students"


@dataclass(frozen=True)
class SimulatedStudent:
    """A job that takes its time, and sends readings of the size that a student has."""

    seconds: float

    def __call__(self, number: int) -> tuple[bytes, int]:
        """Readings, and the most memory that the worker had."""
        time.sleep(self.seconds)
        return bytes(READINGS), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass(frozen=True)
class Matrix:
    """What so many students took."""

    students: int
    nodes: int
    wall: float
    memory: int
    moved: int

    @property
    def ideal(self) -> float:
        """Seconds of the jobs alone, on all cores."""
        return math.ceil(self.students / (self.nodes * CORES)) * SECONDS


def figures(counts: tuple[int, ...] = COUNTS) -> list[Figure]:
    """Wall time beside that of the jobs alone; memory, bytes, and what a second node brings."""
    made: list[Figure] = []
    walls: dict[tuple[int, int], Matrix] = {}
    for nodes in NODES:
        with cluster(nodes, CORES):
            with choose("ray", nodes * CORES) as engine:
                _run(engine, nodes, nodes * CORES)  # workers start once
                runs = [_run(engine, nodes, count) for count in counts]
            for done in runs:
                walls[done.students, nodes] = done
                print(done, file=sys.stderr)
                made += _figures(done)
    largest = max(counts)
    gain = walls[largest, 1].wall / walls[largest, 2].wall
    made.append(
        at_least(f"students: {largest}, two nodes over one", gain, 1.8, "", command=COMMAND)
    )
    return made


def _run(engine: Engine, nodes: int, students: int) -> Matrix:
    began, memory, moved = time.perf_counter(), 0, 0
    for _, (readings, used) in engine.map(SimulatedStudent(SECONDS), range(students)):
        memory, moved = max(memory, used), moved + len(readings)
    return Matrix(students, nodes, time.perf_counter() - began, memory, moved)


def _figures(done: Matrix) -> list[Figure]:
    told = (
        f"students: {done.students} on {done.nodes} node{'s' if done.nodes > 1 else ''} of {CORES}"
    )
    over = (done.wall / done.ideal - 1) * SECONDS
    return [
        Figure(
            f"{told}, wall time",
            done.wall,
            "s",
            command=COMMAND,
            note=f"{done.ideal:.0f} s of {SECONDS:.0f} s jobs; {over:.2f} s more for each turn",
        ),
        most_memory(f"{told}, most memory of a worker", done.memory, COMMAND),
        Figure(f"{told}, moved", done.moved / 1e6, "MB", command=COMMAND),
        *([_overhead(told, done)] if done.students == OVERHEAD_OF else []),
    ]


def _overhead(told: str, done: Matrix) -> Figure:
    more = 100 * (done.wall / done.ideal - 1)
    note = f"jobs of {SECONDS:.0f} s, behind the start of Ray; of 10 s: python -m bench.engines"
    return at_most(f"{told}, beyond the jobs alone", more, 10, "%", command=COMMAND, note=note)


@contextmanager
def cluster(nodes: int, cores: int) -> Iterator[str]:
    """So many nodes of Ray with so many cores each, joined; gives their address."""
    import ray
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"num_cpus": cores, "object_store_memory": 100 << 20}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            made.add_node(**node)
        ray.init(address=made.address, log_to_driver=False)
        yield made.address
    finally:
        ray.shutdown()
        made.shutdown()
