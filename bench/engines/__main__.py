"""
The Ray engine on sleeping jobs, so that this machine's two cores do not matter: overhead, two nodes beside one, a lost node.

Nodes are real ones of Ray on one machine, with as many cores as they are said to have.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Figure, at_least, at_most, measured, write
from undertow.engines.ray_cluster import Ray

JOBS, SECONDS, SLOTS = 64, 10.0, 4
"""Jobs, each asleep for so long, on two nodes of so many cores."""

SHORT_JOBS, SHORT_SECONDS = 24, 5.0
"""On one node of one core, then on two."""

SMALL = {"object_store_memory": 100 << 20, "include_dashboard": False}
COMMAND = {"command": "python -m bench.engines"}


@dataclass(frozen=True)
class Sleeping:
    """Writes down that a job began, and sleeps."""

    folder: Path
    seconds: float

    def __call__(self, number: int) -> int:
        """The number, later."""
        with (self.folder / "begun").open("a") as file:
            file.write(f"{number}\n")
        time.sleep(self.seconds)
        return number


@contextmanager
def nodes(count: int, cores: int) -> Iterator[Any]:
    """A cluster of so many nodes of so many cores each."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**SMALL, "num_cpus": cores})
    try:
        for _ in range(count - 1):
            made.add_node(num_cpus=cores, **SMALL)
        made.wait_for_nodes()
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def seconds_of(engine: Ray, jobs: int, seconds: float) -> tuple[float, float]:
    """Seconds from the first call to the first actor's answer (Ray's start), and those that the jobs took after it."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        width = engine.jobs or 1
        # Each place has its process before the jobs begin.
        list(engine.map(Sleeping(Path(folder), 0.5), range(width)))
        begun = time.perf_counter()
        results = dict(engine.map(Sleeping(Path(folder), seconds), range(jobs)))
        assert len(results) == jobs
        return begun - started, time.perf_counter() - begun


def overhead() -> list[Figure]:
    """64 jobs of 10 s on two nodes of four cores: what they take beyond 80 s."""
    with nodes(2, SLOTS) as cluster, Ray(2 * SLOTS, cluster.address) as engine:
        start, took = seconds_of(engine, JOBS, SECONDS)
    ideal = JOBS * SECONDS / (2 * SLOTS)
    what = f"{JOBS} jobs of {SECONDS:g} s on two nodes of {SLOTS} cores"
    note = f"{took:.1f} s; asleep alone they take {ideal:g} s"
    return [
        at_most(f"overhead: {what}", 100 * (took / ideal - 1), 10, "%", note=note, **COMMAND),
        Figure("overhead: joining the cluster and starting 8 workers", start, "s", **COMMAND),
    ]


def scaling() -> list[Figure]:
    """The same sleeping jobs on one node of one core and on two."""
    took = []
    for count in (1, 2):
        with nodes(count, 1) as cluster, Ray(count, cluster.address) as engine:
            took.append(seconds_of(engine, SHORT_JOBS, SHORT_SECONDS)[1])
    what = f"two nodes of one core beside one, {SHORT_JOBS} sleeping jobs of {SHORT_SECONDS:g} s"
    note = f"{took[0]:.1f} s and {took[1]:.1f} s"
    return [at_least(f"scaling: {what}", took[0] / took[1], 1.8, "times", note=note, **COMMAND)]


def lost() -> list[Figure]:
    """Of 24 jobs on two nodes of four cores, those that begin twice when one node is removed in the middle."""
    with tempfile.TemporaryDirectory() as folder, nodes(1, SLOTS) as cluster:
        other = cluster.add_node(num_cpus=SLOTS, **SMALL)
        cluster.wait_for_nodes()
        with Ray(2 * SLOTS, cluster.address) as engine:
            results = {}
            for index, result in engine.map(Sleeping(Path(folder), 3.0), range(24)):
                results[index] = result
                if len(results) == 10:
                    cluster.remove_node(other)
        assert len(results) == 24
        begun = Counter(Path(folder, "begun").read_text().split())
    again = sum(begun.values()) - len(begun)
    what = f"jobs done again after a node of {SLOTS} cores was lost in the middle of 24"
    return [at_most(f"lost: {what}", again, SLOTS, "jobs", **COMMAND)]


PARTS = {"overhead": overhead, "scaling": scaling, "lost": lost}


def main(parts: list[str]) -> int:
    """Measure what is named (all by default) and write its figures."""
    figures, seconds = measured(parts, PARTS)
    for figure in figures:
        print(f"{figure.name}: {figure.value} {figure.unit} ({figure.note}; met: {figure.met})")
    print(write("engines", figures, seconds))
    return 0


if __name__ == "__main__":
    # By its name, not as __main__: what sleeps is found on the nodes as well.
    from bench.engines.__main__ import main as measure

    sys.exit(measure(sys.argv[1:]))
