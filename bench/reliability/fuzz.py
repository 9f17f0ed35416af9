"""
Damaged documents by the hundred thousand, read as undertow's verbs read them.

A fault is: an error that is no refusal, a refusal without its help line or of more than one line each, more than 10 s,
more than 1 GB, a process that dies, rows that are neither read nor told; and an honest document that is not read.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import resource
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import NoReturn

from bench.real.child import cpu_now
from bench.reliability.document_readers import DroppedError
from bench.reliability.kinds import KINDS, Kind, damaged, laid_out
from bench.reliability.tries import Unit
from undertow.cli.terminal import Session, describe
from undertow.errors import MissingExtraError, UndertowError

SECONDS, BYTES = 10, 1 << 30
"""That a document may take, and of memory that is really used, beyond what the libraries do."""

ROOM = 4 << 30
"""
Bytes that a process may ask for, so that the machine survives: more than a document may take, for a reader that refuses
where there is no memory would hide how much it took. Lengths that are made up are refused here as elsewhere.
"""

STILL = 600.0
"""Seconds by the clock after which a process that begins no other document hangs."""

BATCH = 2000
"""Documents of one process."""

COMMAND = "undertow scan FILE"


class HangError(BaseException):
    """What no reader catches."""


_pulse = mmap.mmap(-1, 8)
"""What a process shares with its parent: how many readings it began and ended; odd while it reads."""


def _beat() -> None:
    _pulse[:] = (int.from_bytes(_pulse[:], "little") + 1).to_bytes(8, "little")


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Whatever is within may take so long; what no signal reaches is ended by the parent."""

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
    """What comes of a reading: `read`, `refused`, or a fault and what it is; of memory, whatever the reader made of it."""
    before, peak = _resident(), _peak()
    _beat()
    told = _outcome(read)
    _beat()
    if _peak() > peak and _peak() - before > BYTES:
        return "memory", f"{_peak() - before >> 20} MB, and then {told[0]}"
    return told


def _resident() -> int:
    """Bytes that this process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _peak() -> int:
    """The most that it ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _outcome(read: Callable[[], object]) -> tuple[str, str]:
    try:
        with limited():
            read()
    except UndertowError as error:
        return _refusal(error)
    except HangError:
        return "hang", f"more than {SECONDS} s"
    except MemoryError:
        return "memory", f"more than {ROOM >> 30} GB"
    except DroppedError as error:
        return "dropped", str(error)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return "crash", f"{type(error).__name__}: {str(error)[:200]} ({where})"
    return "read", ""


def _refusal(error: UndertowError) -> tuple[str, str]:
    if isinstance(error, MissingExtraError):
        return "not tried", error.message
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
        _pulse[:] = bytes(8)
        child = os.fork()
        if not child:
            _child(write, unit, path, work)
        os.close(write)
        content, hung = _handed_over(read, child)
        _, status = os.waitpid(child, 0)
        unit = pickle.loads(content) if content else unit  # of our own child
        code = os.waitstatus_to_exitcode(status)
        if hung or code:
            newest = max((p for p in folder.iterdir() if p.is_file()), key=_age, default=None)
            last = newest.read_bytes()[:200] if newest else b""
            unit.add("hang" if hung else "died", f"{hung or f'exit {code}'} at {last!r}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    unit.seconds = round(time.perf_counter() - started, 2)
    return unit


def _handed_over(pipe: int, child: int) -> tuple[bytes, str]:
    """What the child says when it is done; where it hangs so that no signal reaches it, it is killed, and why."""
    content, beat = b"", b""
    since, spent = time.monotonic(), 0.0
    with open(pipe, "rb") as said:
        while True:
            if select.select([said], [], [], 0.25)[0]:
                # All of it follows at once, or its end.
                return content + said.read(), ""
            if beat != _pulse[:]:
                beat, since, spent = _pulse[:], time.monotonic(), cpu_now(child)
            passed, worked = time.monotonic() - since, cpu_now(child) - spent
            reading = beat[:1] and beat[0] % 2
            if reading and (worked > 2 * SECONDS + 1 or passed > 12 * SECONDS):
                why = f"deaf for {worked:.0f} s of work, {passed:.0f} s by the clock"
            elif passed > STILL:
                why = f"began no document for {passed:.0f} s"
            else:
                continue
            os.kill(child, signal.SIGKILL)
            return content, why


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns


def _child(pipe: int, unit: Unit, path: Path, work: Work) -> NoReturn:
    def done() -> NoReturn:
        with open(pipe, "wb") as file:
            pickle.dump(unit, file)
        os._exit(0)

    try:
        if unit.subject in KINDS:
            _load_late(unit.subject, path)
        limit_memory()
        if unit.subject in KINDS:
            honest(unit, path)
        work(unit, path, done)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _load_late(kind: str, path: Path) -> None:
    """Read what is honest, which loads what is loaded late, before memory is limited."""
    for seed in KINDS[kind].seeds():
        path.write_bytes(seed)
        with contextlib.suppress(Exception):
            KINDS[kind].read(path)


def honest(unit: Unit, path: Path) -> None:
    """Where an honest document is not read, damaged ones are not either, and nothing is tried: a fault of the campaign."""
    kind = KINDS[unit.subject]
    for number, seed in enumerate(kind.seeds()):
        path.write_bytes(seed)
        what, fault = outcome(lambda: kind.read(path))
        if what != "read":
            unit.add(
                "hollow", f"honest {unit.subject} {number} is {what}: {fault or _why(kind, path)}"
            )


def _why(kind: Kind, path: Path) -> str:
    try:
        kind.read(path)
    except UndertowError as error:
        return error.message
    return ""


def missing(kinds: Sequence[str]) -> str:
    """The libraries that readers of these kinds need and that are not installed."""
    needed = {KINDS[kind].needs for kind in kinds} - {""}
    return " ".join(sorted(name for name in needed if find_spec(name) is None))


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
        unit.add_document(what, fault, content)
    unit.told = {"slowest_seconds": round(slowest, 3), "peak_mb": peak_mb()}


def limit_memory() -> None:
    """From here on this process may ask for so much more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def peak_mb() -> float:
    """The most memory that this process had resident."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
