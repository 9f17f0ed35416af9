"""A command in a process of its own: how long it took, by the clock and of the processor, and its peak of memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import BENCH

KIB_A_GB = 2**20


@dataclass(frozen=True)
class Spent:
    """What a process took."""

    code: int
    """Its exit code, negative of the signal that ended it."""
    seconds: float
    """By the clock."""
    cpu_seconds: float
    """Of the processor, with its own children that it waited for."""
    peak_gb: float
    """Most memory that it had resident."""


def spent(
    arguments: Sequence[str], *, output: Path | None = None, environment: Mapping[str, str] = {}
) -> Spent:
    """Run `python ARGUMENTS` to its end; what it prints goes to `output`, else where this process prints."""
    started = time.perf_counter()
    process = begun(arguments, output=output, environment=environment)
    return ended(process, started)


def begun(
    arguments: Sequence[str], *, output: Path | None = None, environment: Mapping[str, str] = {}
) -> subprocess.Popen[bytes]:
    """The process, started, with this tree's packages and a thread."""
    path = os.pathsep.join((str(BENCH.parent / "src"), str(BENCH.parent)))
    given = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | os.environ
    where = given | {"PYTHONPATH": path} | dict(environment)
    command = [sys.executable, *arguments]
    if output is None:
        return subprocess.Popen(command, env=where, stdout=sys.stderr)
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("ab") as file:
        return subprocess.Popen(command, env=where, stdout=file, stderr=subprocess.STDOUT)


def ended(process: subprocess.Popen[bytes], started: float) -> Spent:
    """Wait for a process that was begun at `started`, in the seconds of `time.perf_counter`."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    return Spent(process.returncode, seconds, _cpu(usage), usage.ru_maxrss / KIB_A_GB)


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def cpu_now(process: int) -> float:
    """Seconds of the processor that a running process has taken; 0 of one that is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
