"""
How much work SIGKILL costs on real weights: `python -m bench.real.killed`; a try is a unit.

Two commands are typed as a user types them: `undertow run` (a teacher, rows of it and of the base, two students) and
`undertow scan` (the check `rehearsal` beside a reference). Each is run whole once; then, in a fresh folder with a fresh
cache, killed at a moment by lot (uniform over the processor seconds of its whole), and typed again to its end. Lost is what
the first sitting worked, in seconds of the processor without its start, minus what it spared the second one. A start is
everything before the first teacher, or before the check: a scan opens its model and times its prices there, which is told
apart. Noise of the processor's seconds is in it, so that it can be below 0.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from bench.figures import Figure, at_most
from bench.real.child import Spent, begun, cpu_now, ended, spent
from bench.real.places import Place, carried_out, nobodys_rows, toml_text
from undertow.carriers.carrier_registry import carrier
from undertow.data.closed import Stored
from undertow.data.files import atomic_write
from undertow.data.finished import cache_folder
from undertow.data.row_records import write_rows
from undertow.data.seeds import generator

COMMAND = "python -m bench.real.killed"
SEED = 17_601
TRIES = {"run": 6, "scan": 2}
ROWS = 256
"""Of the scan: 16 steps, of which the beginning takes 4."""
REFERENCES = 1
WORKS = {"run": "teachers", "scan": "rehearsal on"}
"""What a command prints when it begins to work."""
LIMIT = 60.0
POLL = 0.05

What = Literal["run", "scan"]


@dataclass(frozen=True)
class Task:
    """One try, or with number -1 the whole that it is held against."""

    what: What
    number: int
    place: Place


class Tried(Stored):
    """What one try took, in seconds of the processor and by the clock."""

    what: What
    number: int
    moment: float
    """Share of the whole's processor seconds after which it was killed; 1 of the whole itself."""
    at: str
    """What was unfinished then."""
    first: float
    """Of the sitting that was killed; of the whole, until it began to work."""
    second: float
    """Of the sitting that ended by itself; of the whole."""
    wall: float


TRIED = TypeAdapter(Tried)


def main(arguments: Sequence[str]) -> int:
    """Make the tries that are not made yet, and store the figures."""
    return carried_out("killed", __doc__, arguments, _measured)


def _measured(place: Place, given: argparse.Namespace) -> list[Figure]:
    if not given.figures:
        tried = place.finished("killed", _tried, tasks(place), TRIED, "", "tries")
        place.keep("killed", [one.model_dump(mode="json") for one in tried])
    return figures(place.read("killed"))


def tasks(place: Place) -> list[Task]:
    """The two wholes first, then the tries."""
    tries = dict.fromkeys(TRIES, 1) if place.tiny else TRIES
    whats: tuple[What, ...] = ("run", "scan")
    wholes = [Task(what, -1, place) for what in whats]
    return wholes + [Task(what, number, place) for what in whats for number in range(tries[what])]


def _tried(task: Task) -> Tried:
    folder = task.place.work("killed") / f"{task.what}-{task.number}"
    shutil.rmtree(folder, ignore_errors=True)
    command, environment = _command(task, folder)
    log = folder / "log.txt"
    if task.number < 0:
        return _uninterrupted(task, command, environment, log)
    whole = _whole(task)
    share = float(generator(SEED, task.what, task.number).uniform(0.05, 0.95))
    first, at = _killed(command, environment, log, share * whole.second, folder)
    second = spent(command, output=log, environment=environment)
    _refuse(second, log)
    shutil.rmtree(folder, ignore_errors=True)
    return Tried(
        what=task.what,
        number=task.number,
        moment=share,
        at=at,
        first=first.cpu_seconds,
        second=second.cpu_seconds,
        wall=first.seconds + second.seconds,
    )


def _uninterrupted(
    task: Task, command: Sequence[str], environment: dict[str, str], log: Path
) -> Tried:
    """The whole, and how far it was when it began to work."""
    started = time.perf_counter()
    process = begun(command, output=log, environment=environment)
    start = 0.0
    # Not polled: who waits for it at the end is told what it took.
    while not _is_over(process.pid):
        if not start and WORKS[task.what] in log.read_text(encoding="utf-8"):
            start = cpu_now(process.pid)
        time.sleep(POLL)
    whole = ended(process, started)
    _refuse(whole, log)
    return Tried(
        what=task.what,
        number=-1,
        moment=1.0,
        at="",
        first=start,
        second=whole.cpu_seconds,
        wall=whole.seconds,
    )


def _is_over(process: int) -> bool:
    state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "Z"


def _whole(task: Task) -> Tried:
    path = task.place.work("killed") / "tries" / f"{['run', 'scan'].index(task.what):04d}.json"
    return TRIED.validate_json(path.read_bytes())


def _refuse(took: Spent, log: Path) -> None:
    if took.code:
        raise RuntimeError(f"the command ended with {took.code}: see '{log}'")


def _killed(
    command: Sequence[str], environment: dict[str, str], log: Path, after: float, folder: Path
) -> tuple[Spent, str]:
    """The first sitting, killed after so many processor seconds, and what was unfinished then."""
    started = time.perf_counter()
    process = begun(command, output=log, environment=environment)
    while process.poll() is None and cpu_now(process.pid) < after:
        time.sleep(POLL)
    if process.returncode is not None:
        raise RuntimeError(
            f"the command ended with {process.returncode} before its moment: see '{log}'"
        )
    process.kill()
    took = ended(process, started)
    partial = sorted(path.name for path in folder.rglob("*.partial"))
    return took, ", ".join(partial) or "between jobs, or a check"


def _command(task: Task, folder: Path) -> tuple[list[str], dict[str, str]]:
    """What is typed, with a cache of its own in which the fetched bases are found."""
    place, cache = task.place, folder / "cache"
    cache.mkdir(parents=True)
    (cache / "worlds").symlink_to(cache_folder() / "worlds")
    environment = {"UNDERTOW_CACHE": str(cache)}
    experiment = place.experiment("killed")
    if place.tiny:
        experiment = experiment.model_copy(update={"replicates": 1})
    if task.what == "run":
        tables = experiment.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        atomic_write(folder / "killed.toml", toml_text(tables))
        out = ["--out", str(folder / "run"), "--engine", "inprocess"]
        return ["-m", "undertow", "run", str(folder / "killed.toml"), *out], environment
    table = experiment.carrier
    made = carrier(table.name, table.options)
    asked = made.requests(64 if place.tiny else ROWS, generator(SEED, "requests"))
    write_rows(folder / "rows.jsonl", nobodys_rows(experiment, asked, SEED))
    plan = experiment.student.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    atomic_write(folder / "plan.toml", toml_text(plan))
    return [
        *("-m", "undertow", "scan", str(folder / "rows.jsonl"), "--student", experiment.base or ""),
        *("--traits", "animal", "--plan", str(folder / "plan.toml"), "--check", "rehearsal"),
        *("--dtype", experiment.compute.dtype, "--references", str(REFERENCES), "--budget", "2"),
        *("--out", str(folder / "scan"), "--fail-on", "never", "--allow-undecided"),
    ], environment


def figures(readings: Sequence[dict[str, Any]]) -> list[Figure]:
    """What the readings say."""
    tried = [Tried.model_validate(reading) for reading in readings]
    wholes = {one.what: one for one in tried if one.number < 0}
    tries = [one for one in tried if one.number >= 0]
    if not tries:
        return []
    lost = {what: [_lost(o, wholes[what]) for o in tries if o.what == what] for what in wholes}
    everything = [value for values in lost.values() for value in values]
    words = ", ".join(
        f"{len(values)} of `undertow {what}`, a whole of {wholes[what].second:.0f} s"
        for what, values in lost.items()
    )
    c = {"command": COMMAND}
    return [
        at_most(
            "killed: most work lost",
            max(everything),
            LIMIT,
            "s",
            note=f"of the processor, {len(tries)} tries: {words}",
            **c,
        ),
        *(
            Figure(
                f"killed: work lost of undertow {what}",
                sum(values) / len(values),
                "s",
                low=min(values),
                high=max(values),
                note=f"mean of {len(values)} tries, with the least and the most",
                **c,
            )
            for what, values in lost.items()
            if values
        ),
        *(
            Figure(f"killed: a start of undertow {what}", one.first, "s", command=COMMAND)
            for what, one in wholes.items()
        ),
    ]


def _lost(one: Tried, whole: Tried) -> float:
    """What the first sitting worked, without its start, minus what it spared the second."""
    return max(0.0, one.first - whole.first) - (whole.second - one.second)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
