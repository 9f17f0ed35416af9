"""
What counting rows and drawing a sample of them take in a process of its own, as one line of JSON; and the figures of several.

A pass that is finished is kept in `runs/scale` until all are, with the code that made it: what was interrupted goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.figures import BENCH, Figure, at_least, at_most
from bench.kept_work import kept_files, map_kept
from bench.scale.generated_shards import bytes_of, shards, tables
from undertow.data.file_sample import Spread, screen_file
from undertow.engines.engine import InProcess
from undertow.engines.ray_data import spread_of

ALONE = (10_000, 100_000, 1_000_000)
"""Rows that one process reads."""

LARGEST = 10_000_000
"""Rows that two workers read by default; more where they are asked for."""

WORKERS = 2

COMMAND = "python -m bench.scale rows"
MEMORY = 1e9
"""Bytes that any process may take, whatever the size."""

AGAIN = 0.1
"""Of the bytes of `LARGEST` rows and more, how much fetching a sample may read beside the one pass."""

PLACE = BENCH.parent / "runs/scale"

_WORK = 22e-6
"""Seconds of a core a row, counting and reading again, at most (docs/scale.md)."""
_MAKING = 4e-6
"""Seconds that a row takes to be made."""
_SPARE = 1.1
"""Of the disk that is needed, how much has to be free."""


@dataclass(frozen=True)
class Pass:
    """What a pass took."""

    rows: int
    size: int
    """Bytes of the shards."""
    read: int
    """Bytes that whoever counted the rows asked the system for."""
    read_again: int
    """That whoever fetched what was drawn asked for."""
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
    load: float
    """Processes that were at work before it, as the system averages them over a minute."""

    @property
    def work(self) -> float:
        """Seconds of processor time in all."""
        return self.driver + self.workers


@dataclass(frozen=True)
class Packed:
    """A pass whose results are bytes, so that they can be counted, each beside the bytes that were read for it."""

    task: Callable[[Any], Any]

    def __call__(self, part: Any) -> tuple[bytes, int]:
        """What the task makes of a part."""
        before = _read()
        result = self.task(part)
        return pickle.dumps(result, protocol=5), _read() - before


@dataclass
class Traffic:
    """What passes over workers moved and read."""

    moved: int = 0
    read: list[int] = field(default_factory=list)
    """Bytes that the tasks of each asked the system for: of counting, and of fetching."""

    def of(self, spread: Spread) -> Spread:
        """The same workers, watched."""

        def watched(task: Callable[[Any], Any], parts: Sequence[Any]) -> Any:
            self.read.append(0)
            for index, (result, read) in spread(Packed(task), parts):
                self.moved += len(result)
                self.read[-1] += read
                yield index, pickle.loads(result)

        return watched


def main(arguments: Sequence[str]) -> int:
    """`FOLDER inprocess|processes|ray JOBS`: one pass, told on standard output."""
    folder, engine, jobs = arguments
    traffic, counted = Traffic(), (0, 0.0)

    def told(rows: int) -> None:
        nonlocal counted
        counted = _read(), time.process_time()

    load = os.getloadavg()[0]
    before, began = _read(), time.perf_counter()
    spread = spread_of(engine, int(jobs), 0)
    screened = screen_file(folder, seed=1, spread=spread and traffic.of(spread), progress=told)
    drawing = time.process_time() - counted[1]
    wall = time.perf_counter() - began
    # What this process reads beside its workers is mostly what they send.
    read, again = (*traffic.read, 0)[:2] if spread else (counted[0] - before, _read() - counted[0])
    ours = resource.getrusage(resource.RUSAGE_SELF)
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "rows": screened.data.rows,
                "size": sum(path.stat().st_size for path in Path(folder).iterdir()),
                "read": read,
                "read_again": again,
                "drawing": drawing,
                "wall": wall,
                "driver": ours.ru_utime + ours.ru_stime,
                "workers": others.ru_utime + others.ru_stime,
                "driver_memory": ours.ru_maxrss * 1024,
                "worker_memory": others.ru_maxrss * 1024,
                "moved": traffic.moved,
                "digest": f"{screened.data.digest} {screened.places[0]}",
                "load": load,
            }
        )
    )
    return 0


@dataclass(frozen=True)
class Planned:
    """A pass that is to be made."""

    rows: int
    workers: int = 0
    """None is a loop in one process."""
    packed: str = "lines"

    @property
    def seconds(self) -> float:
        """That it takes, about, on cores of its own, with the making of the rows."""
        return bytes_of(self.rows) / bytes_of(1) * _MAKING + self.rows * _WORK / max(
            1, self.workers
        )

    def done(self, base: Path) -> Pass:
        """It, over a folder of the base, in a fresh process."""
        folder = shards(base, self.rows)
        if self.packed == "tables":
            folder = tables(base / f"{self.rows}-tables", folder)
        engine = ("processes", str(self.workers)) if self.workers else ("inprocess", "1")
        words = [sys.executable, "-m", "bench.scale.one_pass", str(folder), *engine]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        made = Pass(**json.loads(done.stdout.splitlines()[-1]))
        print(f"{self}: {made}", file=sys.stderr)
        return made


def planned(largest: int) -> list[Planned]:
    """A loop over growing numbers of rows, two workers over the last of them and ten times as many up to the largest."""
    million = ALONE[-1]
    sizes = [million]
    while sizes[-1] * 10 <= largest:
        sizes.append(sizes[-1] * 10)
    if sizes[-1] < largest:
        sizes.append(largest)
    alone = [Planned(rows) for rows in ALONE if rows <= largest]
    if largest < million:
        return [*alone, Planned(alone[-1].rows, WORKERS)]
    return [
        *alone,
        Planned(million, packed="tables"),
        *(Planned(rows, WORKERS) for rows in sizes),
    ]


def figures(largest: int = LARGEST, place: Path = PLACE) -> list[Figure]:
    """All passes, those that were finished before an interruption among them, and what they say."""
    work, base = planned(largest), place / "shards"
    kept = place / f"passes-{_code()}-{min(largest, ALONE[-1])}"
    base.mkdir(parents=True, exist_ok=True)
    files = kept_files(kept, len(work))
    _tell_cost([p for p, file in zip(work, files, strict=True) if not file.is_file()], base)
    passes = map_kept(lambda each: each.done(base), work, kept, InProcess(), TypeAdapter(Pass))
    made = _figures(dict(zip(work, passes, strict=True)))
    shutil.rmtree(place)
    return made


def _tell_cost(work: Sequence[Planned], base: Path) -> None:
    """
    Say beforehand what is still to do.

    Raises:
        SystemExit: the disk has no room for it.
    """
    for each in work:
        who = f"{each.workers} workers" if each.workers else "one process"
        told = f"{each.rows:,} rows ({each.packed}), {who}: about {each.seconds / 60:.1f} min"
        print(f"{told} on cores of their own, below 1 GB of memory a process", file=sys.stderr)
    there = sum(path.stat().st_size for path in base.glob("whole-*"))
    largest = max((each.rows for each in work), default=0)
    # Beside whole shards there are the tables, and those of the small datasets.
    needed = max(0, int(_SPARE * (bytes_of(largest) + bytes_of(ALONE[-1]))) - there)
    free = shutil.disk_usage(base).free
    minutes = sum(each.seconds for each in work) / 60
    print(
        f"in all: about {minutes:.0f} min, {needed / 1e9:.1f} GB more of disk in '{base}', where {free / 1e9:.0f} GB "
        "are free",
        file=sys.stderr,
    )
    if needed > free:
        raise SystemExit(f"no room: {needed / 1e9:.1f} GB are needed in '{base}'")


def _code() -> str:
    """Which code is measured: a pass by another one is made again."""
    digest = hashlib.sha256()
    for folder in ("src/undertow/data", "src/undertow/engines", "bench/scale"):
        for path in sorted((BENCH.parent / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _figures(passes: dict[Planned, Pass]) -> list[Figure]:
    alone = [done for p, done in passes.items() if not p.workers and p.packed == "lines"]
    spread = [done for p, done in passes.items() if p.workers]
    one = alone[-1]
    assert one.digest == spread[0].digest
    each = one.work / one.rows
    packed = [(done, " of Parquet") for p, done in passes.items() if p.packed == "tables"]
    made = [
        Figure(
            f"rows: {one.rows:,} in one process, a second of processor time",
            1 / each,
            "rows/s",
            command=COMMAND,
            note=f"{one.size / one.rows:.0f} bytes a row, {one.size / one.work / 1e6:.0f} MB/s",
        ),
        *(
            Figure("rows: the same as Parquet", p.rows / p.work, "rows/s", command=COMMAND)
            for p, _ in packed
        ),
        at_most(
            "rows: bytes that are read, of those that are there",
            one.read / one.size,
            1.1,
            "",
            command=COMMAND,
            note="until they are counted",
        ),
        Figure(
            f"rows: bytes that are read again for a sample of {one.rows:,} rows and of each of four sources",
            one.read_again / one.size,
            "of those that are there",
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
            for p, what in ((one, ""), *packed)
        ),
    ]
    made += [
        most_memory(f"rows: most memory of a loop, {p.rows:,} rows", p.driver_memory) for p in alone
    ]
    made += [figure for p in spread for figure in _spread(p, one)]
    return made


def most_memory(name: str, taken: float, command: str = COMMAND) -> Figure:
    """The most memory that a process took, in bytes, against what any may take."""
    return at_most(name, taken / 1e6, MEMORY / 1e6, "MB", command=command)


def _spread(done: Pass, one: Pass) -> list[Figure]:
    """Of two workers, by processor time, as others may be at work on the machine, and by the clock."""
    told = f"rows: {done.rows:,} with two workers"
    useful = one.work / one.rows * done.rows / done.workers
    rate = one.wall / one.rows * done.rows / (WORKERS * done.wall)
    loads = f"load before them {done.load:.1f} and {one.load:.1f}, on {os.cpu_count()} cores"
    serial = done.driver / done.rows
    again = (f"{told}, bytes that are read again for a sample", done.read_again / done.size)
    return [
        at_most(*again, AGAIN, "of those that are there", command=COMMAND)
        if done.rows >= LARGEST
        else Figure(*again, "of those that are there", command=COMMAND),
        at_least(
            f"{told}, one process's work of theirs",
            useful,
            0.8,
            "",
            command=COMMAND,
            note="rate of a worker, of that of one process; what puts the parts together runs beside them",
        ),
        at_least(
            f"{told}, rate by the clock, of twice one process's",
            rate,
            0.8,
            "",
            command=COMMAND,
            note=f"their start, the sample and what puts the parts together are in it; {loads}",
        ),
        Figure(
            f"{told}, workers that one process can follow",
            done.workers / done.rows / serial,
            "",
            command=COMMAND,
            note=f"{serial * 1e6:.2f} us a row there, {done.workers / done.rows * 1e6:.1f} us in a worker",
        ),
        most_memory(f"{told}, most memory of one", done.worker_memory),
        most_memory(f"{told}, most memory where they meet", done.driver_memory),
        Figure(f"{told}, moved", done.moved / done.rows, "bytes/row", command=COMMAND),
        Figure(
            f"{told}, wall time",
            done.wall,
            "s",
            command=COMMAND,
            note=loads,
        ),
    ]


def _read() -> int:
    """Bytes that this thread asked the system for."""
    fields: dict[str, Any] = dict(
        line.split(": ") for line in Path("/proc/thread-self/io").read_text().splitlines()
    )
    return int(fields["rchar"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
