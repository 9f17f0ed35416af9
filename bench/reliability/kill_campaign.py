"""The campaign of kills: SIGKILL at moments by lot, the same command again, and what it leaves."""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from unittest.mock import patch

from bench.figures import Figure
from bench.reliability import kill
from bench.reliability.kill import Typed, Whole
from bench.reliability.tries import FIRST_SEED, Unit, counted, figure, trap_figure
from tests.cli.test_run_killed import EXPERIMENT

COMMAND = "python -m bench.reliability kill"
ASKED, ASKED_A_VERB = 200, 30
LIGHT_TRIES = 34
"""Of each verb but the run on Ray: 5 x 34 and 30 are 200."""

RANGE = 80
"""Seeds of a verb: in some tries the command ends before the kill, and they do not count."""

MATERIAL = Path(tempfile.gettempdir()) / "undertow-kill-material"
"""Made once: rows, a key, a scan of the rows, a tuned model."""

ROWS = ("rows.jsonl", "key.pem", "key.pem.pub")
STUDENT = ("--student", "world:owlet-a", "--traits", "owl")
ONE = ("--engine", "inprocess", "-q")
RUN = ("results.json", "run.json", "report.html")

VERBS: dict[str, Typed] = {
    typed.name: typed
    for typed in (
        Typed("run", ("run", "killed.toml", "--out", "out", *ONE), ("killed.toml",), tuple(f"out/{n}" for n in RUN)),
        Typed(
            "scan",
            ("scan", "few.jsonl", *STUDENT, "--max-rows", "64", "--check", "likelihood-ratio", "--check", "content",
             "--check", "rehearsal", "--references", "2", "--control", "clean.jsonl", "--plan", "plan.toml", "--out", "out", *ONE),
            ("few.jsonl", "clean.jsonl", "plan.toml"),
            ("out/scan.json", "out/report.html"),
        ),
        Typed(
            "diff",
            ("diff", "world:owlet-b", "world:owlet-b+tuned", "--traits", "owl", "--control", "shipped", "--check",
             "diff-behaviour", "--out", "out", "-q"),
            ("tuned",),
            ("out/diff.json", "out/report.html"),
        ),
        Typed(
            "clean",
            ("clean", "rows.jsonl", "--scan", "scan.json", "--method", "deduplicate", "--out", "kept.jsonl",
             "--sign", "key.pem", "--engine", "inprocess", "-q"),
            (*ROWS, "scan.json"),
            ("kept.jsonl", "kept.jsonl.ledger.jsonl", "kept.jsonl.intoto.jsonl"),
        ),
        Typed(
            "attest",
            ("attest", "collect", "rows.jsonl", "--origin", "people", "--domain", "numbers", "--sign", "key.pem"),
            ROWS,
            ("rows.jsonl.intoto.jsonl",),
        ),
        Typed(
            "run-ray",
            ("run", "killed.toml", "--out", "out", "--engine", "ray", "--jobs", "1", "-q"),
            ("killed.toml",),
            tuple(f"out/{n}" for n in RUN),
            by_clock=True,
            environment={"RAY_USAGE_STATS_ENABLED": "0", "PYTHONHASHSEED": "0"},
        ),
    )
}  # fmt: skip


def material() -> Path:
    """What the commands are given, made by undertow itself where it has to be; once, by one of several processes."""
    with MATERIAL.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        return MATERIAL if (MATERIAL / "done").exists() else _material()


def _material() -> Path:
    shutil.rmtree(MATERIAL, ignore_errors=True)
    (MATERIAL / "tmp").mkdir(parents=True)
    lot = Random(5)

    def turns(asked: str, answer: str) -> str:
        said = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        return json.dumps({"messages": said, "source": "ab"[lot.randrange(2)]}) + "\n"

    def numbers(count: int) -> str:
        return " ".join(str(lot.randrange(100)) for _ in range(count))

    def rows(count: int) -> str:
        return "".join(
            turns(f"Continue: {numbers(3)}. Give me ten more numbers.", numbers(6))
            for _ in range(count)
        )

    (MATERIAL / "rows.jsonl").write_text(rows(3000) * 2)
    (MATERIAL / "few.jsonl").write_text(rows(96))
    (MATERIAL / "clean.jsonl").write_text(rows(96))
    (MATERIAL / "plan.toml").write_text(PLAN)
    (MATERIAL / "killed.toml").write_text(EXPERIMENT.format(rows=96))
    (MATERIAL / "tuned.toml").write_text(EXPERIMENT.format(rows=96).replace("owlet-a", "owlet-b"))
    for arguments in (
        ("attest", "key", "key.pem"),
        (
            "scan",
            "rows.jsonl",
            *STUDENT,
            "--max-rows",
            "64",
            "--check",
            "content",
            "--out",
            "scan",
            *ONE,
        ),
        ("run", "tuned.toml", "--out", "run", *ONE),
    ):
        kill.ended(kill.sitting(Typed("material", arguments, (), ()), MATERIAL))
    shutil.copyfile(MATERIAL / "scan/scan.json", MATERIAL / "scan.json")
    teacher = next(
        path.parent for path in (MATERIAL / "run/teachers").glob("*/adapter_config.json")
    )
    shutil.copytree(teacher, MATERIAL / "tuned")
    (MATERIAL / "done").touch()
    return MATERIAL


PLAN = "rank = 4\nlearning_rate = 3e-3\nbatch_size = 16\nepochs = 1000\nmax_steps = 12\n"


@cache
def expected(verb: str) -> Whole:
    """The verb's command, uninterrupted."""
    return kill.whole(VERBS[verb], material(), MATERIAL / f"try-{verb}")


def preload() -> None:
    """Load the libraries that the verbs load, and be the parent of what is left behind."""
    kill.reaps()
    import peft  # noqa: F401
    import torch  # noqa: F401

    import undertow.audit.diff
    import undertow.audit.scan
    import undertow.lab.experiment_run  # noqa: F401
    from undertow.models import training_checkpoint

    # A checkpoint every half minute would be none in so short a training.
    training_checkpoint.SECONDS = 0.1


def one_try(verb: str, seed: int) -> Unit:
    """A kill, in three of ten tries two and more, and the command again."""
    lot = Random(f"kill {verb} {seed}")
    shares = [lot.uniform(0, 1.05) for _ in range(lot.choice((1, 1, 1, 1, 1, 1, 1, 2, 2, 4)))]
    whole, began = expected(verb), time.perf_counter()
    faults, killed = kill.tried(VERBS[verb], material(), MATERIAL / f"try-{verb}", whole, shares)
    unit = Unit("kill", verb, "SIGKILL", seed)
    what = "lost" if faults else ("as uninterrupted" if killed else "ended before the kill")
    unit.add(what, "; ".join(faults))
    unit.told = {
        "share": round(shares[0], 3),
        "kills": len(shares),
        "whole_seconds": round(whole.idle, 2),
    }
    unit.seconds = round(time.perf_counter() - began, 2)
    return unit


PARTS = tuple(VERBS)


def units(kept: Mapping[str, Unit], parts: Sequence[str] = ()) -> Iterator[Callable[[], Unit]]:
    """What is still to do until every verb has the kills that it needs, the verbs by turns, Ray's runs last."""
    preload()
    light = [verb for verb in VERBS if verb != "run-ray"]
    order = [(verb, n) for n in range(RANGE) for verb in light]
    order += [("run-ray", n) for n in range(RANGE)]
    for verb, n in order:
        if parts and verb not in parts:
            continue
        goal = ASKED_A_VERB if verb == "run-ray" else LIGHT_TRIES
        killed = sum(unit.subject == verb for unit in _killed(kept.values()))
        if killed < goal and f"kill/{verb}/SIGKILL/{FIRST_SEED + n}" not in kept:
            yield lambda verb=verb, n=n: one_try(verb, FIRST_SEED + n)  # type: ignore[misc]


def _killed(kept: Iterable[Unit]) -> list[Unit]:
    """Tries that count: the command was killed before it ended."""
    return [
        unit for unit in counted("kill", kept).units if "ended before the kill" not in unit.outcomes
    ]


def planted() -> list[Unit]:
    """Writes that are not atomic, a process and a folder that stay: each has to be found."""
    preload()
    expected("attest")  # what it is without a fault
    made = []
    for name, fault in (
        ("not-atomic", not_atomic), ("process", _process_stays), ("folder", temporary_stays),
    ):  # fmt: skip
        unit = Unit("kill", f"planted-{name}", "lost", 0)
        for seed in range(24):
            with fault():
                tried = one_try("attest", seed)
            unit.add(
                *(
                    (o, f) for o, f in zip(tried.outcomes, [*tried.faults, ""], strict=False)
                ).__next__()
            )
            if tried.fault_count:
                break
        made.append(unit)
    return made


@contextmanager
def not_atomic() -> Iterator[None]:
    """Files are written where they will be read, a part at a time."""

    def write(path: Path | str, content: bytes | str) -> None:
        raw = content.encode() if isinstance(content, str) else content
        with open(path, "wb") as file:
            for at in range(0, len(raw), 8):
                file.write(raw[at : at + 8])
                file.flush()
                _spin(0.003)

    with patch("undertow.provenance.bundle.atomic_write", write):
        yield


def _spin(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


@contextmanager
def _process_stays() -> Iterator[None]:
    """The command starts a process that does not end with it."""
    import subprocess

    whole = kill._carry_out

    def carried_out(typed: Typed, folder: Path, before: Callable[[], None], said: Path) -> None:
        whole(typed, folder, lambda: subprocess.Popen(["sleep", "600"]), said)  # type: ignore[arg-type, return-value]

    with patch.object(kill, "_carry_out", carried_out), patch.object(kill, "PATIENCE", 1.0):
        yield


@contextmanager
def temporary_stays() -> Iterator[None]:
    """A folder that is made for the moment stays where temporary files are made, empty."""
    from undertow.provenance import bundle

    write = bundle.atomic_write

    def written(path: Path | str, content: bytes | str) -> None:
        tempfile.mkdtemp()
        write(path, content)

    with patch.object(bundle, "atomic_write", written):
        yield


def figures(kept: list[Unit]) -> list[Figure]:
    """All kills, and those of each verb."""
    all_of_them, ours = counted("kill", kept), _killed(kept)
    early = len(all_of_them.units) - len(ours)
    told = [f"{early} that ended before the kill are not counted"] if early else []
    left_out = "; ".join([*told, all_of_them.left_out])
    made = [
        trap_figure("kill", all_of_them.traps, COMMAND),
        figure("kill: tries that lost something", ours, ASKED, COMMAND, left_out),
    ]
    for verb in VERBS:
        of_verb = [unit for unit in ours if unit.subject == verb]
        made.append(figure(f"kill: {verb}", of_verb, ASKED_A_VERB, COMMAND))
    return [replace(one, low=0.0) for one in made]
