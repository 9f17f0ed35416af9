"""
Commands as they are typed, each in a process of its own and in a folder of its own, killed at a moment by lot and typed again.

The process is forked from one that has the libraries loaded, which saves seconds a try and works on nothing.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from bench.real.child import cpu_now

PATIENCE, PATIENCE_WITH_RAY = 20.0, 180.0
"""Seconds that processes of a killed command have to end by themselves; Ray's agents look for their parent for a minute."""

LONGEST = 240.0
"""Seconds by the clock, on a busy machine, after which a command that goes on is one that hangs."""

MOST = 15.0
"""Seconds that an uninterrupted run may take."""

VARYING = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
"""Times and names by lot in statements."""

COSTS = ("prices", "cached", "fine_tunes", "spent_fine_tunes", "what_it_cost")
"""Keys of documents."""

PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Typed:
    """A command line with what has to lie in its folder, and what it leaves."""

    name: str
    arguments: tuple[str, ...]
    inputs: tuple[str, ...]
    """Files and folders of the material, copied into the folder of a try."""
    documents: tuple[str, ...]
    """What it ends with: files that are there whole or not at all."""
    by_clock: bool = False
    """Whether the moment is one of the clock, since others do the work."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Whole:
    """What uninterrupted runs of a command leave, and what they took."""

    code: int
    files: dict[str, Any]
    varying: set[str]
    """Files of which two uninterrupted runs differ even without times."""
    cpu: float
    seconds: float
    documents: tuple[str, ...] = ()
    """What it ends with; pages are drawn of the first."""

    @property
    def idle(self) -> float:
        """Seconds that it takes at most on an idle machine: those of the processors, or by the clock of a busy one."""
        return min(self.cpu, self.seconds)


def reaps() -> None:
    """Whose parent dies becomes our child from here on, so that nothing that is left behind goes unseen."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def sitting(
    typed: Typed,
    folder: Path,
    before: Callable[[], None] = lambda: None,
    said: Path | None = None,
) -> int:
    """A process that carries the command out in the folder; its number. What it says is added to `said`."""
    child = os.fork()
    if child:
        return child
    _carry_out(typed, folder, before, said or folder.parent / f"{folder.name}.out")


def _carry_out(typed: Typed, folder: Path, before: Callable[[], None], said: Path) -> NoReturn:
    code = 99
    try:
        os.setsid()
        os.chdir(folder)
        told = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(told, 1)
        os.dup2(told, 2)
        own = {"UNDERTOW_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
        os.environ.update(own | dict(typed.environment))
        tempfile.tempdir = str(folder / "tmp")
        before()
        from undertow.cli import main

        # Sets of strings, which peft writes, go by the seed of hashes: that of this process and its parent is one.
        sys.argv = ["undertow", *typed.arguments]
        code = main(typed.arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def fresh(typed: Typed, material: Path, folder: Path) -> Path:
    """A folder with the command's inputs and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    for name in typed.inputs:
        source = material / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copyfile(source, folder / name)
    return folder


def ended(process: int, longest: float = LONGEST) -> int:
    """Its exit code, negative of a signal; -99 where it hangs and was killed for it."""
    until = time.monotonic() + longest
    while time.monotonic() < until:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return -99


def whole(typed: Typed, material: Path, folder: Path) -> Whole:
    """Two uninterrupted runs."""
    both = []
    for _ in range(2):
        fresh(typed, material, folder)
        began, before = time.monotonic(), os.times()
        code = ended(sitting(typed, folder))
        seconds, after = time.monotonic() - began, os.times()
        leftover()
        cpu = (
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
        both.append((code, files_of(folder), cpu, seconds))
    (code, first, *_), (_, second, cpu, seconds) = both  # the first one loads what is loaded late
    varying = {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
    found = Whole(code, first, varying, cpu, seconds, typed.documents)
    if unseen := sorted(varying & set(typed.documents)):
        raise AssertionError(
            f"{typed.name}: two runs differ in {unseen}: nothing could be seen there"
        )
    if missing := sorted(set(typed.documents) - first.keys()):
        raise AssertionError(f"{typed.name}: no {missing} after an uninterrupted run ({code})")
    if found.idle > MOST:
        raise AssertionError(
            f"{typed.name}: {found.idle:.1f} s uninterrupted, allowed are {MOST:.0f} s"
        )
    return found


def kill_at(process: int, typed: Typed, expected: Whole, share: float) -> bool:
    """Kill it after this share of what the whole took; False where it ended before."""
    began = time.monotonic()
    while True:
        done, _ = os.waitpid(process, os.WNOHANG)
        if done:
            return False
        passed = time.monotonic() - began
        spent = passed / expected.seconds if typed.by_clock else cpu_now(process) / expected.cpu
        if spent >= share or passed > LONGEST:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return True
        time.sleep(0.002)


def leftover(with_ray: bool = False) -> list[str]:
    """The command lines of processes that a command left, after a while; they are ended."""
    until = time.monotonic() + (PATIENCE_WITH_RAY if with_ray else PATIENCE)
    while (there := descendants()) and time.monotonic() < until:
        time.sleep(0.05)
    told = []
    for process in there:
        with contextlib.suppress(OSError):
            line = (
                Path(f"/proc/{process}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
            )
            told.append(line[:160] or f"process {process}")
            os.kill(process, signal.SIGKILL)
    while descendants():
        time.sleep(0.05)
    return told


def descendants() -> list[int]:
    """Our children and theirs, those that have ended taken leave of."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                parents[int(stat.parent.name)] = int(fields[1])
    ours, found = {os.getpid()}, set[int]()
    while ours:
        ours = {process for process, parent in parents.items() if parent in ours} - found
        found |= ours
    return sorted(found)


def files_of(folder: Path) -> dict[str, Any]:
    """
    All that lies there, without times: documents as values, other files as bytes; of pages that they are whole, and of
    folders that they are empty.

    Raises:
        ValueError: a document or a page is cut off.
    """
    from tests.golden.scrubbing import scrubbed

    files: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir():
            if not any(path.iterdir()) and not f"{name}/".startswith("cache/"):
                files[f"{name}/"] = None
            continue
        if path.name == "clock.json":
            continue
        content = path.read_bytes()
        if path.suffix == ".html":
            # What stands in it is compared in the end: it tells seconds.
            files[name] = _whole_page(content)
        elif path.suffix == ".json" and not name.startswith("cache/"):
            files[name] = _unpaid(scrubbed(json.loads(content)))
        elif name.endswith(".intoto.jsonl"):
            files[name] = sorted(_payload(line) for line in content.splitlines())
        else:
            files[name] = None if name.startswith("cache/") else content
    return files


def _whole_page(content: bytes) -> None:
    if not content.rstrip().endswith(b"</html>"):
        raise ValueError(f"a page that ends with {content[-20:]!r}")


def wrong_pages(folder: Path, documents: Sequence[str]) -> list[str]:
    """Pages that are not what their document is drawn as."""
    from undertow.report import render
    from undertow.results.store import read_result, read_run_gates, read_run_scans

    told = []
    for name in documents:
        page, result = folder / name, (folder / documents[0])
        if page.suffix != ".html" or not page.exists() or not result.exists():
            continue
        beside = (
            {"scans": read_run_scans(result.parent), "gates": read_run_gates(result.parent)}
            if result.name == "results.json"
            else {}
        )
        if page.read_text(encoding="utf-8") != render(read_result(result), "html", **beside):
            told.append(f"another page: {name} is not what {documents[0]} is drawn as")
    return told


def _unpaid(value: Any) -> Any:
    """A document without what it cost: references that are there already are not paid for again."""
    if isinstance(value, dict):
        return {key: _unpaid(entry) for key, entry in value.items() if key not in COSTS}
    return [_unpaid(entry) for entry in value] if isinstance(value, list) else value


def _payload(line: bytes) -> str:
    payload = base64.b64decode(json.loads(line)["payload"]).decode()
    return VARYING.sub("…", payload)


def half_written(typed: Typed, folder: Path, expected: Whole) -> list[str]:
    """Documents that are there and are not what they will be."""
    told = []
    for name in typed.documents:
        path = folder / name
        if not path.exists():
            continue
        try:
            there = files_of(path.parent).get(path.name)
        except ValueError as error:
            told.append(f"half-written: {name}: {str(error)[:80]}")
            continue
        if there != expected.files.get(name):
            told.append(f"half-written: {name} is not what it is in the end")
    return told


def differences(folder: Path, expected: Whole, code: int) -> list[str]:
    """What the command that was typed again left otherwise than one that was not interrupted."""
    told = [] if code == expected.code else [f"ended with {code}, not {expected.code}"]
    try:
        files = files_of(folder)
    except ValueError as error:
        return [*told, f"no document: {str(error)[:100]}"]
    left = sorted(files.keys() - expected.files.keys())
    gone = sorted(expected.files.keys() - files.keys())
    told += [f"left behind: {name}" for name in left[:4]] + [
        f"missing: {name}" for name in gone[:4]
    ]
    told += wrong_pages(folder, expected.documents)
    same = files.keys() & expected.files.keys() - expected.varying
    told += [f"another: {name}" for name in sorted(same) if files[name] != expected.files[name]][:4]
    return told


def sessions(processes: Sequence[int], since: float) -> list[str]:
    """Folders in which Ray kept the files of clusters that these processes began since then, and that are still there."""
    temporary = Path(tempfile.gettempdir())
    every = [
        *Path("/tmp/ray").glob("session_*"),
        *{
            *temporary.glob("undertow-ray-*/session_*"),
            *Path("/tmp").glob("undertow-ray-*/session_*"),
        },
    ]
    # The numbers of processes come again: another one of ours had this number once.
    names = tuple(f"_{process}" for process in processes)
    ours = [path for path in every if path.name.endswith(names)]
    return sorted(str(path) for path in ours if path.stat().st_mtime >= since)


def tried(
    typed: Typed, material: Path, folder: Path, expected: Whole, shares: Sequence[float]
) -> tuple[list[str], bool]:
    """Kill it at these shares of the whole, one sitting after another, then let it end: faults, and whether it was killed."""
    fresh(typed, material, folder)
    faults: list[str] = []
    processes: list[int] = []
    killed, since = False, time.time()
    for share in shares:
        processes.append(sitting(typed, folder))
        if not kill_at(processes[-1], typed, expected, share):
            break
        killed = True
        faults += [f"process left behind: {line}" for line in leftover(typed.by_clock)]
        faults += half_written(typed, folder, expected)
    processes.append(sitting(typed, folder))
    code = ended(processes[-1])
    faults += [f"process left behind at the end: {line}" for line in leftover(typed.by_clock)]
    faults += [f"left behind: {path}" for path in sessions(processes, since)]
    return faults + differences(folder, expected, code), killed
