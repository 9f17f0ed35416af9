"""
`python -m bench.power`: every writer of the design answers its prompts, both stages read its datasets, students are trained.

`--dry-run` says what is left and how long it takes; `--finished` writes the figures of what is there; a number is how many
processes work at once (one a core if none is given). A unit is one writer, at most some minutes; what is finished stands in
readings.parquet beside this file and in runs/bench/power, so that an interrupted bench goes on where it stopped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from bench.figures import BENCH, write
from bench.kept_work import kept_files, map_kept, read_kept
from bench.power.cells import (
    OUTSIDE_STUDENTS,
    SEED,
    TRAIT_STUDENTS,
    Author,
    authors,
    cell_named,
)
from bench.power.raw_readings import read_readings, write_readings
from bench.power.readings import READINGS, AuthorReading, ReadAuthor
from bench.power.screen_figures import figures
from bench.power.shipped_record import MAIN, RECORD, record
from undertow.checks.dataset.reference_trials import (
    ADAPTERS,
    WHOLE_ADAPTERS,
    beginning_steps,
)
from undertow.data.files import atomic_write
from undertow.data.finished import Finished
from undertow.engines import choose
from undertow.traits import catalogue
from undertow.worlds.base_models import USUAL

COMMAND = "python -m bench.power"
WORK = BENCH.parent / "runs" / "bench" / "power"
RAW = BENCH / "power" / "readings.parquet"


def main() -> int:
    """Measure and write the figures."""
    words = sys.argv[1:]
    planned = authors(tuple(trait.name for trait in catalogue.load_category("animal")))
    _unpack(planned)
    files = kept_files(WORK, len(planned))
    done = sum(file.is_file() for file in files)
    if "--dry-run" in words:
        there = {
            i: read_kept(file, READINGS).seconds for i, file in enumerate(files) if file.is_file()
        }
        if not there:
            print(f"0 of {len(planned)} writers are there: nothing was timed that tells how long")
            return 0
        main_left, left = (hours_left(planned, there, cells) for cells in ((MAIN,), ()))
        print(
            f"{done} of {len(planned)} writers are there; the rest takes about {left:.1f} hours of a core, {left / 2:.1f} "
            f"on two; of them the main cell {main_left:.1f} and {main_left / 2:.1f}"
        )
        return 0
    started = time.perf_counter()
    if "--finished" not in words:
        jobs = next((int(word) for word in words if word.isdigit()), None)
        map_kept(ReadAuthor(), planned, WORK, choose("processes", jobs), READINGS, _tell)
    readings = [read_kept(file, READINGS) for file in files if file.is_file()]
    write_readings(RAW, readings)
    if (shipped := record(readings, sum(author.cell == MAIN for author in planned))) is not None:
        atomic_write(RECORD, shipped.model_dump_json(indent=1) + "\n")
    print(write("power", figures(readings, COMMAND), {"screen": time.perf_counter() - started}))
    return 0


def hours_left(
    planned: Sequence[Author], seconds: Mapping[int, float], cells: Sequence[str] = ()
) -> float:
    """
    Hours of a core for the writers that are not there, of some cells or of all: each by the steps of its trainings, a step
    as long as one took those that are.

    Args:
        seconds: that each finished writer took, by its place in the plan; of one at least.
    """
    work = [_steps(author) for author in planned]
    an_hour = sum(work[i] for i in seconds) / sum(seconds.values()) * 3600
    left = (
        steps
        for i, (author, steps) in enumerate(zip(planned, work, strict=True))
        if i not in seconds and author.cell in (cells or {author.cell})
    )
    return sum(left) / an_hour


def _steps(author: Author) -> float:
    """Steps of one adapter that everything trained on a writer's rows takes."""
    trained = WHOLE_ADAPTERS + {"trait": TRAIT_STUDENTS, "outside": OUTSIDE_STUDENTS}.get(
        author.role, 0
    )
    plans = (USUAL.steps(size) for size in cell_named(author.cell).sizes)
    return sum(trained * steps + ADAPTERS * beginning_steps(USUAL, steps) for steps in plans)


def _unpack(planned: Sequence[Author]) -> None:
    """What is in the committed readings need not be made again."""
    finished = Finished(WORK, READINGS)
    there = {_name(reading): reading for reading in read_readings(RAW)}
    for index, author in enumerate(planned):
        name, key = f"{index:04d}", f"{author.cell} {author.role} {author.number}"
        if finished.sound(name) is None and key in there:
            finished.keep(name, there[key])


def _name(reading: AuthorReading) -> str:
    return f"{reading.cell} {reading.role} {reading.number}"


def _tell(done: int, total: int) -> None:
    print(f"{done} of {total} writers of seed {SEED}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
