"""
Damaged documents by the hundred thousand, read as undertow's verbs read them.

A fault is: an error that is no refusal, a refusal without its help line or of more than one line each, more than 10 s,
more than 1 GB, a process that dies, rows that are neither read nor told.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import NoReturn

from bench.reliability.kinds import KINDS, DroppedError, damaged, laid_out
from bench.reliability.tries import Unit
from undertow.cli.terminal import Session, describe
from undertow.errors import UndertowError

SECONDS, BYTES = 10, 1 << 30
"""That a document may take, and of memory beyond what the libraries do."""

BATCH = 2000
"""Documents of one process."""

COMMAND = "undertow scan FILE"


class HangError(BaseException):
    """What no reader catches."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Whatever is within may take so long; memory is limited by `own_process`."""

    def ring(*_: object) -> None:
        raise HangError

    # A busy machine is no hang: the limit is in seconds of the processor, and in six times as many by the clock.
    signal.signal(signal.SIGPROF, ring)
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 6 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def outcome(read: Callable[[], object]) -> tuple[str, str]:
    """What comes of a reading: `read`, `refused`, or a fault and what it is."""
    try:
        with limited():
            read()
    except UndertowError as error:
        return _refusal(error)
    except HangError:
        return "hang", f"more than {SECONDS} s"
    except MemoryError:
        return "memory", "more than 1 GB"
    except DroppedError as error:
        return "dropped", str(error)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return "crash", f"{type(error).__name__}: {str(error)[:200]} ({where})"
    return "read", ""


def _refusal(error: UndertowError) -> tuple[str, str]:
    lines = describe(error, Session(), COMMAND).text().split("\n")
    if len(lines) == 2 and lines[0].startswith("error: ") and lines[1].startswith("  = help: "):
        return "refused", ""
    return "untold", f"{len(lines)} lines: {' / '.join(lines)[:300]}"


def batch(kind: str, seed: int, tries: int = BATCH) -> Unit:
    """So many documents of a kind, damaged by lot, in a process of its own."""
    lot = Random(f"{kind} {seed}")

    def work(unit: Unit, path: Path, done: Done) -> None:
        read_all(unit, path, tries, lambda: damaged(kind, lot))
        done()

    return run_in_child(Unit("fuzz", kind, "by lot", seed), partial(laid_out, kind), work)


Done = Callable[[], NoReturn]
"""Ends a process whose work is done, its unit handed over: what fuzzes by coverage never returns."""

Work = Callable[[Unit, Path, Done], None]


def run_in_child(unit: Unit, lay_out: Callable[[Path], Path], work: Work) -> Unit:
    """
    Fill a unit in a process of its own, its memory limited, in a folder in memory; where the process dies, that is a
    fault of the document that lies there.
    """
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm"))
    path, started = lay_out(folder), time.perf_counter()
    try:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            _child(write, unit, path, work)
        os.close(write)
        with open(read, "rb") as pipe:
            content = pipe.read()
        _, status = os.waitpid(child, 0)
        unit = pickle.loads(content) if content else unit  # of our own child
        if code := os.waitstatus_to_exitcode(status):
            last = path.read_bytes()[:200] if path.is_file() else b""
            unit.add("died", f"exit {code} at {last!r}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    unit.seconds = round(time.perf_counter() - started, 2)
    return unit


def _child(pipe: int, unit: Unit, path: Path, work: Work) -> NoReturn:
    def done() -> NoReturn:
        with open(pipe, "wb") as file:
            pickle.dump(unit, file)
        os._exit(0)

    try:
        if unit.subject in KINDS:
            _load_late(unit.subject, path)
        limit_memory()
        work(unit, path, done)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _load_late(kind: str, path: Path) -> None:
    """Read what is honest, which loads what is loaded late, before memory is limited."""
    for seed in KINDS[kind].seeds():
        path.write_bytes(seed)
        what, fault = outcome(lambda: KINDS[kind].read(path))
        assert what in ("read", "refused", "untold"), f"an honest {kind}: {fault}"


def preload(kinds: Sequence[str]) -> None:
    """Load the heavy libraries once, before processes part."""
    if any(KINDS[kind].heavy for kind in kinds):
        import peft  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401

        import undertow.lab.experiment  # noqa: F401


def read_all(unit: Unit, path: Path, tries: int, make: Callable[[], bytes]) -> None:
    """Read documents as they are made, one after another."""
    read, slowest = KINDS[unit.subject].read, 0.0
    for _ in range(tries):
        content = make()
        path.write_bytes(content)
        began = time.process_time()
        what, fault = outcome(lambda: read(path))
        slowest = max(slowest, time.process_time() - began)
        unit.add(what, fault and f"{fault}: {content[:160]!r}")
    unit.told = {"slowest_seconds": round(slowest, 3), "peak_mb": peak_mb()}


def limit_memory() -> None:
    """From here on this process may have a GB more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def peak_mb() -> float:
    """The most memory that this process had resident."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
