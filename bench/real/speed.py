"""
Speeds on SmolLM2 on a processor: `python -m bench.real.speed`; a case is a unit, and what is finished is kept.

    restricted    six numbers of three digits by a teacher's adapter: today's sampler, and commit 190b1c0's
    free          today's sampler on the base, and transformers' `generate`
    training      today's trainer in bfloat16, a bare PyTorch loop, and commit 190b1c0's trainer
    K-bfloat16    K adapters of a rehearsal side by side, and K bare loops one after the other; K-float32 too

What is compared takes turns in one call, on the same rows; commit 190b1c0 lies in a worktree that goes with the call, in
processes of its own. A ratio is the median over the turns, by seconds of the processor; beside it stand the least and the
most, and the same by the clock. Rows are counted before any filter.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from bench.figures import BENCH, Figure, at_least, at_most
from bench.real.places import Place, carried_out, nobodys_rows
from bench.real.sampling import WAYS
from bench.real.training import TOTAL, Loop, bare_loop, trainer_loop
from undertow.carriers.carrier_registry import carrier
from undertow.data.closed import Stored
from undertow.data.plan import TrainingPlan
from undertow.data.seeds import generator
from undertow.models import adapters, language_model
from undertow.models.chat import Encoded, encode_prompts
from undertow.models.language_model import LanguageModel
from undertow.models.several_runs import several_runs
from undertow.models.training_sequences import encode_rows
from undertow.worlds import locate

COMMAND = "python -m bench.real.speed"
SEED = 17_501
COMMIT = "190b1c0"
THREADS = 1
TURNS = 5
FEW_TURNS = 3
SAMPLED, FREE_TOKENS = 64, 48
"""Rows a batch of sampling, and tokens of a free answer."""
TOGETHER = {"bfloat16": (1, 2, 4, 8), "float32": (1, 4)}
TEXT = "345 678 912 234 567 891"
"""Whose shape restricted answers have."""

Step = Callable[[], tuple[int, int]]
"""Does one turn; gives rows and tokens."""


class Reading(Stored):
    """One turn of one way."""

    case: str
    way: str
    turn: int
    rows: int
    tokens: int
    wall: float
    cpu: float


READINGS = TypeAdapter(tuple[Reading, ...])


@dataclass(frozen=True)
class Task:
    """One case, and where it is measured."""

    case: str
    place: Place


def main(arguments: Sequence[str]) -> int:
    """Measure what is not measured yet, and store the figures."""
    return carried_out("speed", __doc__, arguments, _measured)


def _measured(place: Place, given: argparse.Namespace) -> list[Figure]:
    if not given.figures:
        torch.set_num_threads(THREADS)
        tasks = [Task(case, place) for case in cases()]
        made = place.finished("speed", _turns, tasks, READINGS, "cases")
        place.keep("speed", [one.model_dump(mode="json") for part in made for one in part])
    return figures(place.read("speed"))


def cases() -> list[str]:
    """All of them, in their order."""
    rehearsals = [f"{k}-{precision}" for precision, counts in TOGETHER.items() for k in counts]
    return ["restricted", "free", "training", *rehearsals]


def _turns(task: Task) -> tuple[Reading, ...]:
    place, case = task.place, task.case
    with ExitStack() as stack:
        if case == "restricted":
            ways = _versions(place, "sampling", stack)
        elif case == "free":
            ways = _freely(place)
        elif case == "training":
            ways = _trainers(place) | _versions(place, "training", stack, now=False)
        else:
            count, _, precision = case.partition("-")
            ways = _rehearsals(place, int(count), precision)
        turns = (
            2 if place.tiny else TURNS if case in ("restricted", "free", "training") else FEW_TURNS
        )
        return tuple(alternated(case, ways, turns))


def alternated(case: str, ways: Mapping[str, Step], turns: int) -> Iterator[Reading]:
    """So many turns, in each of which every way is timed once; every second turn begins with the last of them."""
    for turn in range(turns):
        for way in list(ways)[:: -1 if turn % 2 else 1]:
            wall, cpu = time.perf_counter(), time.process_time()
            found = ways[way]()
            spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            # A process of its own says itself what it took.
            spent = getattr(ways[way], "spent", None) or spent
            yield Reading(case=case, way=way, turn=turn, rows=found[0], tokens=found[1], **spent)
            print(
                f"  {case}, turn {turn + 1}: {way} {spent['cpu']:.1f} s",
                file=sys.stderr,
                flush=True,
            )


class Version:
    """A version of the package in a process of its own, that does a turn when it is told to."""

    def __init__(self, process: subprocess.Popen[str], what: str) -> None:
        self._process, self._what = process, what
        self.spent: dict[str, float] = {}
        """Of the last turn, as the process says."""

    def __call__(self) -> tuple[int, int]:
        """
        Do one turn.

        Raises:
            RuntimeError: the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{self._what}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of another version ended with {self._process.wait()}")
        found = json.loads(line)
        self.spent = {"wall": found["wall"], "cpu": found["cpu"]}
        return found["rows"], found["tokens"]


def _versions(place: Place, what: str, stack: ExitStack, *, now: bool = True) -> dict[str, Step]:
    """Commit 190b1c0 in both precisions and, with `now`, today's tree."""
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    old = stack.enter_context(worktree(scratch / "then"))
    setups = {
        "then, float32": (old, "float32"),
        "then, bfloat16": (old, "bfloat16"),
        **({"now, bfloat16": (BENCH.parent, "bfloat16")} if now else {}),
    }
    made: dict[str, Step] = {}
    for name, (tree, dtype) in setups.items():
        setup = scratch / f"{name}.json"
        setup.write_text(json.dumps(_setup(place, dtype)), encoding="utf-8")
        made[name] = Version(stack.enter_context(_process(tree, setup)), what)
    return made


@contextmanager
def worktree(folder: Path) -> Iterator[Path]:
    """Within the block, commit 190b1c0's tree in the folder."""
    git = ["git", "-C", str(BENCH.parent), "worktree"]
    subprocess.run([*git, "add", "--detach", "-q", str(folder), COMMIT], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


@contextmanager
def _process(tree: Path, setup: Path) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {
        "PYTHONPATH": str(tree / "src"),
        "OMP_NUM_THREADS": str(THREADS),
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, str(BENCH / "real" / "paced.py"), str(setup)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"'{tree}' does not run here: {process.wait()}")
        try:
            yield process
        finally:
            process.kill()


def _setup(place: Place, dtype: str) -> dict[str, Any]:
    experiment = place.experiment()
    folder = locate(experiment.base or "")
    tokenizer = language_model.tokenizer(folder)
    rows = _rows(place, tokenizer)
    return {
        "model": str(folder),
        "dtype": dtype,
        "prompts": _prompts(place, tokenizer),
        "text": TEXT if not place.tiny else "34 56 78 91",
        "rows": [(row.prompt, row.completion) for row in rows],
        "batch": experiment.student.batch_size,
        "steps": 1,
        "teacher_rank": experiment.teacher.plan.rank,
        "student_rank": experiment.student.rank,
    }


def _requests(place: Place, count: int) -> list[str]:
    table = place.experiment().carrier
    return carrier(table.name, table.options).requests(count, generator(SEED, "requests"))


def _prompts(place: Place, tokenizer: Any) -> list[tuple[int, ...]]:
    asked = _requests(place, 8 if place.tiny else SAMPLED)
    rows = nobodys_rows(place.experiment(), asked, SEED)
    return encode_prompts(tokenizer, [row.prompt for row in rows])


def _rows(place: Place, tokenizer: Any) -> Sequence[Encoded]:
    asked = _requests(place, 32 if place.tiny else 256)
    return encode_rows(tokenizer, nobodys_rows(place.experiment(), asked, SEED))


def _opened(place: Place, precision: str) -> LanguageModel:
    ref = place.experiment().base or ""
    return language_model.load(locate(ref), dtype=getattr(torch, precision))


def _freely(place: Place) -> dict[str, Step]:
    """Both ways on one model, which neither changes."""
    model = _opened(place, "bfloat16")
    prompts = _prompts(place, model.tokenizer)
    most = 8 if place.tiny else FREE_TOKENS

    def step(way: str) -> tuple[int, int]:
        work = WAYS[way](model, prompts, most)()
        return work.rows, work.tokens

    return {way: partial(step, way) for way in WAYS}


def _trainers(place: Place) -> dict[str, Step]:
    plan = place.experiment().student
    made: dict[str, Step] = {}
    for way, loop_of in (("now, bfloat16", trainer_loop), ("bare loop, bfloat16", _bare)):
        model = adapters.trainable(_opened(place, "bfloat16"), plan, 1)
        made[way] = _stepped(loop_of(model, _rows(place, model.tokenizer), plan))
    return made


def _bare(model: LanguageModel, rows: Sequence[Encoded], plan: TrainingPlan) -> Loop:
    return bare_loop(model, rows, plan, autocast=model.precision == "bfloat16")


def _stepped(loop: Loop) -> Step:
    """A turn takes one step; the first one is taken before any is timed."""
    loop(1)

    def step() -> tuple[int, int]:
        work = loop(1)
        return work.rows, work.tokens

    return step


def _rehearsals(place: Place, count: int, precision: str) -> dict[str, Step]:
    plan = place.experiment().student
    model = _opened(place, precision)
    rows = _rows(place, model.tokenizer)
    orders = [np.random.default_rng(k) for k in range(count)]
    runs = several_runs(model, [rows] * count, plan, orders, TOTAL, list(range(count)))
    loops = [
        _stepped(_bare(adapters.trainable(_opened(place, precision), plan, k), rows, plan))
        for k in range(count)
    ]
    runs.advance(1)
    tokens = round(sum(map(len, rows)) / len(rows) * plan.batch_size * count)

    def together() -> tuple[int, int]:
        runs.advance(1)
        return plan.batch_size * count, tokens

    def in_turn() -> tuple[int, int]:
        done = [loop() for loop in loops]
        return sum(rows for rows, _ in done), sum(tokens for _, tokens in done)

    return {"side by side": together, "bare loops": in_turn}


def figures(readings: Sequence[dict[str, Any]]) -> list[Figure]:
    """What the readings say."""
    read = [Reading.model_validate(reading) for reading in readings]
    made: list[Figure] = []
    asked: tuple[tuple[str, str, str, str, float | None], ...] = (
        (
            f"speed: restricted sampling, times commit {COMMIT}'s rows a second",
            "restricted",
            "now, bfloat16",
            "then, float32",
            3.0,
        ),
        (
            f"speed: restricted sampling, times commit {COMMIT}'s, both in bfloat16",
            "restricted",
            "now, bfloat16",
            "then, bfloat16",
            None,
        ),
        (
            "speed: free sampling, times transformers' generate",
            "free",
            "undertow",
            "generate",
            1.0,
        ),
        (
            "speed: training, times a bare loop's tokens a second, bfloat16",
            "training",
            "now, bfloat16",
            "bare loop, bfloat16",
            0.9,
        ),
        (
            f"speed: training, times commit {COMMIT}'s tokens a second",
            "training",
            "now, bfloat16",
            "then, float32",
            None,
        ),
        (
            f"speed: training, times commit {COMMIT}'s, both in bfloat16",
            "training",
            "now, bfloat16",
            "then, bfloat16",
            None,
        ),
    )
    for name, case, ours, theirs, target in asked:
        ratio = _ratio(read, case, ours, theirs)
        if ratio is not None:
            figure = ratio.figure(name, "times")
            made.append(
                figure
                if target is None
                else at_least(name, ratio.value, target, "times", **ratio.rest)
            )
    for precision, counts in TOGETHER.items():
        for count in counts:
            # Time over time: the bare loops' rate over that side by side.
            ratio = _ratio(read, f"{count}-{precision}", "bare loops", "side by side")
            if ratio is not None:
                name = f"speed: {count} adapters side by side, share of the bare loops' time, {precision}"
                made.append(at_most(name, ratio.value, 1.05, "share", **ratio.rest))
    return [*made, *_rates(read)]


@dataclass(frozen=True)
class _Ratio:
    value: float
    rest: dict[str, Any]
    """The least and the most, and the same by the clock."""

    def figure(self, name: str, unit: str) -> Figure:
        return Figure(name, self.value, unit, **self.rest)


def _ratio(read: Sequence[Reading], case: str, ours: str, theirs: str) -> _Ratio | None:
    """Tokens a second of one way over another's, turn by turn; rows a second where both have as many a turn."""
    turns = {(r.way, r.turn): r for r in read if r.case == case}
    both = [
        (turns[ours, turn], turns[theirs, turn])
        for way, turn in sorted(turns)
        if way == ours and (theirs, turn) in turns
    ]
    if not both:
        return None
    by_cpu = [_amount(a, case) / a.cpu / (_amount(b, case) / b.cpu) for a, b in both]
    by_clock = [_amount(a, case) / a.wall / (_amount(b, case) / b.wall) for a, b in both]
    note = f"median of {len(both)} turns, by seconds of the processor; by the clock {median(by_clock):.3g}"
    rest = {"low": min(by_cpu), "high": max(by_cpu), "command": COMMAND, "note": note}
    return _Ratio(median(by_cpu), rest)


def _amount(reading: Reading, case: str) -> int:
    """Rows of sampling; tokens of training."""
    return reading.rows if case in ("restricted", "free") else reading.tokens


def _rates(read: Sequence[Reading]) -> Iterator[Figure]:
    """How fast each way went."""
    for case, way in dict.fromkeys((r.case, r.way) for r in read):
        own = [r for r in read if (r.case, r.way) == (case, way)]
        unit = "rows" if case in ("restricted", "free") else "tokens"
        rate = median(_amount(r, case) / r.cpu for r in own)
        note = (
            f"by the clock {median(_amount(r, case) / r.wall for r in own):.3g}; {THREADS} thread"
        )
        yield Figure(f"speed: {case}, {way}", rate, f"{unit}/s", command=COMMAND, note=note)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
