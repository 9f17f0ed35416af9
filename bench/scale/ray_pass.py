"""A pass of Ray Data over rows, on one node of one core and on two: wall time, memory of a worker, bytes that travel."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import BENCH, Figure
from bench.scale.generated_shards import ROW, shards
from bench.scale.one_pass import most_memory
from bench.scale.students import NODES, cluster
from undertow.data.file_sample import Spread, screen_file
from undertow.data.records import STEP
from undertow.engines.ray_data import spread_of

ROWS = 1_000_000

COMMAND = "python -m bench.scale nodes"

PLACE = BENCH.parent / "runs/scale-nodes"


@dataclass(frozen=True)
class Weighed:
    """A pass whose results are bytes, each behind what the actor that made it has needed so far."""

    task: Callable[[Any], Any]

    def __call__(self, part: Any) -> tuple[int, int, float, bytes]:
        """Process, most bytes of memory at any time, seconds of its processor, and the result."""
        made = pickle.dumps(self.task(part), protocol=5)
        # An actor is no child of the driver: nobody else can tell.
        used = resource.getrusage(resource.RUSAGE_SELF)
        return os.getpid(), used.ru_maxrss * 1024, used.ru_utime + used.ru_stime, made


@dataclass
class Scales:
    """What all results of a pass weigh together."""

    moved: int = 0
    memory: int = 0
    work: dict[int, float] = field(default_factory=dict)
    """Seconds of processor time by actor; its start is in them."""
    first: float = 0.0
    """When the first result was there."""

    def counted(self, spread: Spread) -> Spread:
        """The same spread, whose results are weighed."""

        def counted(task: Callable[[Any], Any], parts: Sequence[Any]) -> Iterator[tuple[int, Any]]:
            for index, (actor, memory, work, made) in spread(Weighed(task), parts):
                self.first = self.first or time.perf_counter()
                self.moved += len(made)
                self.memory = max(self.memory, memory)
                self.work[actor] = work
                yield index, pickle.loads(made)

        return counted


@dataclass(frozen=True)
class NodesPass:
    """What a pass on so many nodes took."""

    nodes: int
    rows: int
    wall: float
    start: float
    """Seconds of them until the first result was there."""
    work: float
    """Seconds of processor time of the actors of the first reading and of the second."""
    memory: int
    moved: int
    digest: str
    load: float
    """Processes that were at work before it, as the system averages them over a minute."""


def figures(rows: int = ROWS, place: Path = PLACE) -> list[Figure]:
    """
    Both passes over the same shards, which are removed at the end.

    Raises:
        SystemExit: the rows are so few that they lie in one part, which no actor reads.
    """
    if rows * ROW < 4 * STEP:
        raise SystemExit(f"{rows:,} rows are too few for two nodes; at least {4 * STEP // ROW:,}")
    folder = shards(place, rows)
    try:
        passes = [_passed(folder, nodes) for nodes in NODES]
    finally:
        shutil.rmtree(place)
    assert len({done.digest for done in passes}) == 1
    one, two = passes
    gain = Figure(
        f"nodes: {rows:,} rows, two nodes over one",
        one.wall / two.wall,
        "",
        command=COMMAND,
        note=f"both nodes, what puts the parts together and Ray itself share this machine's {os.cpu_count()} cores; "
        f"{(one.wall - one.start) / (two.wall - two.start):.2f} behind the first result",
    )
    return [*(figure for done in passes for figure in _figures(done)), gain]


def _passed(folder: Path, nodes: int) -> NodesPass:
    load, scales = os.getloadavg()[0], Scales()
    with cluster(nodes, 1) as address:
        began = time.perf_counter()
        spread = spread_of(f"ray://{address}", nodes, 0)
        assert spread is not None
        screened = screen_file(folder, seed=1, spread=scales.counted(spread))
        wall = time.perf_counter() - began
    done = NodesPass(
        nodes,
        screened.data.rows,
        wall,
        scales.first - began,
        sum(scales.work.values()),
        scales.memory,
        scales.moved,
        f"{screened.data.digest} {screened.places[0]}",
        load,
    )
    print(done, file=sys.stderr)
    return done


def _figures(done: NodesPass) -> list[Figure]:
    told = f"nodes: {done.rows:,} rows on {done.nodes} node{'s' if done.nodes > 1 else ''} of 1"
    return [
        Figure(
            f"{told}, wall time",
            done.wall,
            "s",
            command=COMMAND,
            note=f"{done.start:.1f} s until the first result; {done.work:.1f} s of the actors' processors, their starts in "
            f"them; load before it {done.load:.1f}",
        ),
        most_memory(f"{told}, most memory of a worker", done.memory, COMMAND),
        Figure(f"{told}, moved", done.moved / done.rows, "bytes/row", command=COMMAND),
    ]
