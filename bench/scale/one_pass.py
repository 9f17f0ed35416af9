"""What counting rows and drawing a sample of them take in a process of its own, as one line of JSON; and the figures of several."""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Figure, at_least, at_most
from bench.scale.generated_shards import shards, tables
from undertow.data.file_sample import Spread, screen_file
from undertow.engines.ray_data import spread_of

SIZES = (10_000, 100_000, 1_000_000)
LARGEST = 10_000_000
"""Rows that are read by default; more where they are asked for."""

COMMAND = "python -m bench.scale rows"
MEMORY = 1e9


@dataclass(frozen=True)
class Pass:
    """What a pass took."""

    rows: int
    size: int
    """Bytes of the shards."""
    read: int
    """Bytes that this process asked the system for until all rows were counted."""
    read_again: int
    """Behind that, to fetch what was drawn."""
    drawing: float
    """Seconds of processor time of this process that fetching took."""
    wall: float
    driver: float
    """Seconds of processor time of the process that puts the parts together."""
    workers: float
    """Of the others."""
    driver_memory: int
    """Most bytes at any time."""
    worker_memory: int
    """Of the largest of the others."""
    moved: int
    """Bytes of all results, as they are sent."""
    digest: str

    @property
    def work(self) -> float:
        """Seconds of processor time in all."""
        return self.driver + self.workers


@dataclass(frozen=True)
class Packed:
    """A pass whose results are bytes, so that they can be counted."""

    task: Callable[[Any], Any]

    def __call__(self, part: Any) -> bytes:
        """What the task makes of a part."""
        return pickle.dumps(self.task(part), protocol=5)


def main(arguments: Sequence[str]) -> int:
    """`FOLDER inprocess|processes|ray JOBS`: one pass, told on standard output."""
    folder, engine, jobs = arguments
    moved, counted = [0], (0, 0.0)

    def told(rows: int) -> None:
        nonlocal counted
        counted = _read(), time.process_time()

    before, began = _read(), time.perf_counter()
    spread = spread_of(engine, int(jobs), 0)
    screened = screen_file(folder, seed=1, spread=spread and _counted(spread, moved), progress=told)
    drawing = time.process_time() - counted[1]
    wall = time.perf_counter() - began
    ours = resource.getrusage(resource.RUSAGE_SELF)
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "rows": screened.data.rows,
                "size": sum(path.stat().st_size for path in Path(folder).iterdir()),
                "read": counted[0] - before,
                "read_again": _read() - counted[0],
                "drawing": drawing,
                "wall": wall,
                "driver": ours.ru_utime + ours.ru_stime,
                "workers": others.ru_utime + others.ru_stime,
                "driver_memory": ours.ru_maxrss * 1024,
                "worker_memory": others.ru_maxrss * 1024,
                "moved": moved[0],
                "digest": f"{screened.data.digest} {screened.places[0]}",
            }
        )
    )
    return 0


def passed(folder: Path, engine: str = "inprocess", jobs: int = 1) -> Pass:
    """A pass over a folder in a fresh process."""
    words = [sys.executable, "-m", "bench.scale.one_pass", str(folder), engine, str(jobs)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    made = Pass(**json.loads(done.stdout.splitlines()[-1]))
    print(f"{made.rows:,} rows, {engine} {jobs}: {made}", file=sys.stderr)
    return made


def figures(largest: int = LARGEST) -> list[Figure]:
    """A loop over growing numbers of rows, two workers, and the largest."""
    with tempfile.TemporaryDirectory() as scratch:
        return _figures(Path(scratch), largest)


def _figures(scratch: Path, largest: int) -> list[Figure]:
    passes = [passed(shards(scratch / f"{rows}", rows)) for rows in SIZES]
    one, million = passes[-1], scratch / f"{SIZES[-1]}"
    two = passed(million, "processes", 2)
    table = passed(tables(scratch / "tables", million))
    many = passed(shards(scratch / "largest", largest), "processes", 2)
    assert one.digest == two.digest
    each = one.work / one.rows
    made = [
        Figure(
            f"rows: {one.rows:,} in one process, a second of processor time",
            1 / each,
            "rows/s",
            command=COMMAND,
            note=f"{one.size / one.rows:.0f} bytes a row, {one.size / one.work / 1e6:.0f} MB/s",
        ),
        Figure("rows: the same as Parquet", table.rows / table.work, "rows/s", command=COMMAND),
        at_most(
            "rows: bytes that are read, of those that are there",
            one.read / one.size,
            1.1,
            "",
            command=COMMAND,
            note="until they are counted",
        ),
        Figure(
            "rows: bytes that are read again for a sample",
            one.read_again / one.size,
            "",
            command=COMMAND,
        ),
        *(
            Figure(
                f"rows: processor time of fetching a sample from {p.rows:,}{what}",
                p.drawing / (p.work - p.drawing),
                "of counting them",
                command=COMMAND,
                note=f"{p.size / p.drawing / 1e6:.0f} MB/s, beside {p.size / (p.work - p.drawing) / 1e6:.0f} MB/s",
            )
            for p, what in ((one, ""), (table, " of Parquet"))
        ),
    ]
    made += [
        at_most(
            f"rows: most memory of a loop, {p.rows:,} rows",
            p.driver_memory / 1e6,
            MEMORY / 1e6,
            "MB",
            command=COMMAND,
        )
        for p in passes
    ]
    made += [figure for p in (two, many) for figure in _spread(p, each)]
    return made


def _spread(done: Pass, each: float) -> list[Figure]:
    """Of two workers, by processor time: on this machine others work at the same time."""
    told = f"rows: {done.rows:,} with two workers"
    useful = each * done.rows / done.workers
    serial = done.driver / done.rows
    return [
        at_least(
            f"{told}, one process's work of theirs",
            useful,
            0.8,
            "",
            command=COMMAND,
            note="rate of a worker, of that of one process; what puts the parts together runs beside them",
        ),
        Figure(
            f"{told}, workers that one process can follow",
            done.workers / done.rows / serial,
            "",
            command=COMMAND,
            note=f"{serial * 1e6:.2f} us a row there, {done.workers / done.rows * 1e6:.1f} us in a worker",
        ),
        at_most(
            f"{told}, most memory of one",
            done.worker_memory / 1e6,
            MEMORY / 1e6,
            "MB",
            command=COMMAND,
        ),
        at_most(
            f"{told}, most memory where they meet",
            done.driver_memory / 1e6,
            MEMORY / 1e6,
            "MB",
            command=COMMAND,
        ),
        Figure(f"{told}, moved", done.moved / done.rows, "bytes/row", command=COMMAND),
        Figure(
            f"{told}, wall time",
            done.wall,
            "s",
            command=COMMAND,
            note="other work ran on the machine",
        ),
    ]


def _counted(spread: Spread, moved: list[int]) -> Spread:
    def counted(task: Callable[[Any], Any], parts: Sequence[Any]) -> Any:
        for index, result in spread(Packed(task), parts):
            moved[0] += len(result)
            yield index, pickle.loads(result)

    return counted


def _read() -> int:
    fields: dict[str, Any] = dict(
        line.split(": ") for line in Path("/proc/self/io").read_text().splitlines()
    )
    return int(fields["rchar"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
