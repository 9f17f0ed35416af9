"""
A command on a disk that is full or cannot be written to, under a clock that jumps, or beside another one; then healed.

The disk is a tmpfs that only this process and its children see. Without the right to pass over permissions, which a child
gives up, root meets a folder that is read-only as everybody else does.
"""

from __future__ import annotations

import ctypes
import datetime
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from bench.real.child import cpu_now
from bench.reliability import kill
from bench.reliability.kill import Typed, Whole
from undertow.cli import verdict_options
from undertow.errors import UndertowError
from undertow.results.store import read_result

SIZE, FILES = 256 << 20, 100_000
"""Bytes and files of the healthy disk."""

LONGEST = 600.0
"""Seconds by the clock after which a command that goes on is one that hangs."""

HOUR, YEAR = 3600.0, 365.25 * 86400
JUMPS = (HOUR, -HOUR, 8 * 86400.0, -8 * 86400.0, 3 * YEAR, -3 * YEAR, 80 * YEAR, -45 * YEAR)
"""Seconds that a clock jumps."""

CLONE_NEWNS = 0x00020000
CAPABILITIES = 0x20080522
"""Version of the kernel's structure."""
PASS_OVER = (1 << 1) | (1 << 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""

REFUSED, UNFINISHED = (2, 4), 4
"""Exit codes of a command that cannot go on as it is, and of one that could not do all it was asked."""

REASONS = ("no space left", "cannot write")
"""By which undertow says that it was the disk."""


@contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    """
    An empty disk, which goes with this process however that ends.

    Raises:
        SystemExit: it may not be mounted.
    """
    at.mkdir(parents=True, exist_ok=True)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        why = os.strerror(ctypes.get_errno())
        raise SystemExit(f"the campaign mounts a tmpfs, which is refused ({why}): run it as root")
    _mount("--make-rprivate", "/")
    _mount("-t", "tmpfs", "-o", f"size={SIZE},nr_inodes={FILES},mode=755", "undertow", str(at))
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)
        at.rmdir()


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def set_up(disk: Path, **options: int | str) -> None:
    """Change options of the mounted disk: `size`, `nr_inodes`, `ro` or `rw`."""
    words = ",".join(name if value == "" else f"{name}={value}" for name, value in options.items())
    _mount("-o", f"remount,{words}", str(disk))


def heal(disk: Path) -> None:
    """As roomy and writable as at first."""
    set_up(disk, rw="", size=SIZE, nr_inodes=FILES)
    for folder in (disk, *(path for path in disk.rglob("*") if path.is_dir())):
        folder.chmod(0o755)


def usage(disk: Path) -> tuple[int, int]:
    """Bytes and files of it that are taken."""
    there = os.statvfs(disk)
    return (there.f_blocks - there.f_bfree) * there.f_frsize, there.f_files - there.f_ffree


def obeys_permissions() -> None:
    """Give up what lets root write where nobody may."""
    header = (ctypes.c_uint32 * 2)(CAPABILITIES, 0)
    sets = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    for place in (0, 1):  # effective and permitted, of the first 32
        sets[place] &= ~PASS_OVER
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def clock_jumps(seconds: float, after: float) -> None:
    """From when this process has worked for `after` seconds, the time of day is another; durations stay true."""
    began, day, nanoseconds, local, utc, written = (
        time.process_time(), time.time, time.time_ns, time.localtime, time.gmtime, time.strftime,
    )  # fmt: skip
    true = datetime.datetime

    def off() -> float:
        return seconds if time.process_time() - began >= after else 0.0

    time.time = lambda: day() + off()
    time.time_ns = lambda: nanoseconds() + int(off() * 1e9)
    time.localtime = lambda at=None: local(time.time() if at is None else at)
    time.gmtime = lambda at=None: utc(time.time() if at is None else at)
    time.strftime = lambda form, at=None: written(form, time.localtime() if at is None else at)

    class Jumped(true):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return true.now(tz) + datetime.timedelta(seconds=off())

    # Only where undertow asks for the time: libraries in C know the size of the true class.
    for module in [*sys.modules.values(), verdict_options]:
        ours = getattr(module, "__name__", "").startswith("undertow")
        if ours and getattr(module, "datetime", None) is true:
            module.datetime = Jumped  # type: ignore[attr-defined]


@dataclass
class Scene:
    """A command, what it is given and what it leaves, on the disk."""

    typed: Typed
    material: Path
    disk: Path
    expected: Whole
    beside: Typed
    """A second command that may be typed in the same folder."""
    beside_alone: Whole
    room: tuple[int, int] = (0, 0)
    """Bytes and files that the command adds."""

    @property
    def folder(self) -> Path:
        """Where it is typed."""
        return self.disk / "try"

    def fresh(self) -> None:
        """Its inputs on a healthy disk."""
        heal(self.disk)
        kill.fresh(self.typed, self.material, self.folder)

    def begun(self, typed: Typed, before: Callable[[], None] = lambda: None) -> tuple[int, Path]:
        """The number of a process, and where what it says is written: elsewhere."""
        said = self.disk.with_name(f"said-{time.monotonic_ns()}")
        return kill.sitting(typed, self.folder, before, said), said

    def again(self) -> list[str]:
        """On the healed disk, the same command ends as one that nothing happened to."""
        heal(self.disk)
        process, said = self.begun(self.typed)
        code = kill.ended(process, LONGEST)
        said.unlink(missing_ok=True)
        return self.after() + kill.differences(self.folder, self.expected, code)

    def first(self, process: int, said: Path) -> tuple[str, list[str]]:
        """Let a command end that something happened to: whether it was refused, and what is wrong."""
        code = kill.ended(process, LONGEST)
        words = said.read_text(errors="replace")
        said.unlink()
        faults = self.after()
        if code == self.expected.code:
            # What is kept for later is not what was asked for.
            lost = kill.differences(self.folder, self.expected, code)
            return "ended", faults + [one for one in lost if not one.startswith("missing: cache/")]
        document = self.folder / self.typed.documents[0]
        if code == UNFINISHED and document.exists() and not _errors(words):
            return "unfinished", faults + self._unfinished(words)
        half = kill.half_written(self.typed, self.folder, self.expected)
        if _says_why(document):
            # A whole document of what could be made, to which the disk left no page.
            half = [one for one in half if self.typed.documents[0] not in one]
        return "refused", [*faults, *_refused_in_words(code, words), *half]

    def _unfinished(self, words: str) -> list[str]:
        """A document of what could be made, which is whole, and what could not be, in words."""
        try:
            read_result(self.folder / self.typed.documents[0])
        except UndertowError as error:
            return [f"half-written: {error.message}"]
        told = any(reason in words for reason in REASONS) and "Traceback" not in words
        return [] if told else [f"unfinished, and not in words: {words[-400:]}"]

    def after(self) -> list[str]:
        """What a command that ended left where nothing is to be left."""
        told = [f"process left behind: {line}" for line in kill.leftover()]
        temporary = self.folder / "tmp"
        return told + [f"left in the temporary folder: {path.name}" for path in temporary.iterdir()]


def _says_why(document: Path) -> bool:
    """Whether a document is whole, came to no verdict, and names the disk for each check that failed."""
    try:
        read = read_result(document)
    except (UndertowError, OSError):
        return False
    failed = [run.reason for run in getattr(read, "checks", ()) if run.status == "error"]
    named = all(any(reason in why for reason in REASONS) for why in failed)
    return getattr(read, "verdict", "") == "error" and bool(failed) and named


def _refused_in_words(code: int, said: str) -> list[str]:
    """An error is a line, and the next one says what to do; neither is a traceback or calls itself a bug."""
    if code == -99:
        return [f"goes on after {LONGEST:.0f} s"]
    lines, errors = said.splitlines(), _errors(said)
    helped = [
        line for at in errors for line in lines[at + 1 : at + 2] if line.startswith("  = help: ")
    ]
    told = len(errors) == 1 == len(helped) and "traceback:" not in helped[0]
    if told and code in REFUSED and "Traceback" not in said and "(a bug in undertow)" not in said:
        return []
    return [f"ended with {code}, and not in words: {' / '.join(lines[-3:])[:400]}"]


def _errors(said: str) -> list[int]:
    """Which of its lines are errors; a report explains the verdict `error` behind more blanks."""
    return [at for at, line in enumerate(said.splitlines()) if re.match(r"error: \S", line)]


Told = dict[str, float]
Way = Callable[[Scene, Random], tuple[str, list[str], Told]]
"""What came of a try: an outcome where nothing is wrong, what is wrong, and numbers."""


def full(scene: Scene, lot: Random) -> tuple[str, list[str], Told]:
    """Room for a part of what the command writes, in one of four tries in files; then room for all."""
    scene.fresh()
    share, files = lot.uniform(0, 0.98), lot.random() < 0.25
    (taken, there), (size, more) = usage(scene.disk), scene.room
    if files:
        set_up(scene.disk, nr_inodes=there + int(share * more))
    else:
        page = os.sysconf("SC_PAGE_SIZE")
        set_up(scene.disk, size=taken + int(share * size) // page * page)
    what, faults = scene.first(*scene.begun(scene.typed))
    return f"{what} on a full disk", faults + scene.again(), {"share": round(share, 3)}


def read_only(scene: Scene, lot: Random) -> tuple[str, list[str], Told]:
    """The whole disk from the start, or a folder from the start or from a moment by lot on."""
    scene.fresh()
    caches = any(name.startswith("cache/") for name in scene.expected.files)
    what = lot.choice(("disk", "folder", *(("out", "cache") if caches else ("folder", "disk"))))
    share = 0.0 if what == "disk" else lot.choice((0.0, lot.random()))
    if what == "disk":
        set_up(scene.disk, ro="")
        outcome, faults = scene.first(*scene.begun(scene.typed))
    else:
        if share == 0:
            _forbid(scene.folder, what)
        process, said = scene.begun(scene.typed, obeys_permissions)
        if share and _reached(process, scene.expected.cpu * share):
            _forbid(scene.folder, what)
        outcome, faults = scene.first(process, said)
    return f"{outcome}, read-only {what}", faults + scene.again(), {"share": round(share, 3)}


def _forbid(folder: Path, what: str) -> None:
    """No file is made, renamed or removed there any more."""
    spared = [folder / "tmp", *([folder / "cache"] if what != "cache" else [])]
    top = folder if what == "folder" else folder / what
    top.mkdir(exist_ok=True)
    below = [path for path in top.rglob("*") if path.is_dir()]
    for path in (*below, top):
        if not any(path == one or one in path.parents for one in spared):
            path.chmod(0o555)


def _reached(process: int, seconds: float) -> bool:
    """Wait until it has worked so long; False where it ended before."""
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        if cpu_now(process) >= seconds:
            return True
        time.sleep(0.002)
    return True


def clock(scene: Scene, lot: Random) -> tuple[str, list[str], Told]:
    """A jump at a moment by lot; in half of the tries a kill behind it, and the command again at another time."""
    scene.fresh()
    seconds, share = lot.choice(JUMPS), lot.uniform(0, 0.95)
    told = {"share": round(share, 3), "seconds": seconds}
    process, said = scene.begun(
        scene.typed, lambda: clock_jumps(seconds, share * scene.expected.cpu)
    )
    faults: list[str] = []
    if lot.random() < 0.5:
        kill.kill_at(process, scene.typed, scene.expected, lot.uniform(share, 1))
        said.unlink(missing_ok=True)
        faults += [f"process left behind: {line}" for line in kill.leftover()]
        faults += kill.half_written(scene.typed, scene.folder, scene.expected)
        process, said = scene.begun(scene.typed, lambda: clock_jumps(lot.choice(JUMPS), 0))
    what, lost = scene.first(process, said)
    if what == "refused" and not lost:
        lost = ["refused for its clock"]
    return "as uninterrupted under a clock that jumps", faults + lost, told


def two(scene: Scene, lot: Random) -> tuple[str, list[str], Told]:
    """The same command a while after the first, or another one that has to do with the same files."""
    scene.fresh()
    share, same = lot.uniform(0, 0.9), lot.random() < 0.5
    second = scene.typed if same else scene.beside
    both = [scene.begun(scene.typed)]
    if share * scene.expected.cpu >= 0.05:
        _reached(both[0][0], share * scene.expected.cpu)
    both.append(scene.begun(second))
    codes = [kill.ended(process, LONGEST) for process, _ in both]
    words = [said.read_text(errors="replace") for _, said in both]
    for _, said in both:
        said.unlink()
    faults, refused = scene.after(), 0
    for code, text in zip(codes, words, strict=True):
        if code != scene.expected.code:
            faults += _refused_in_words(code, text)
            refused += 1
    if refused == 2 or (refused and not same):
        faults.append(f"{refused} of two were refused: {' / '.join(words)[:300]}")
    aim = scene.expected if same else together(scene.expected, scene.beside_alone)
    faults += kill.differences(scene.folder, aim, scene.expected.code)
    what = "the same at once" if same else "another at once"
    return (
        f"{what}, {'one refused' if refused else 'both ended'}",
        faults,
        {"share": round(share, 3)},
    )


def together(first: Whole, second: Whole) -> Whole:
    """What both leave: a bundle holds the statements of both."""
    files: dict[str, Any] = first.files | second.files
    for name in first.files.keys() & second.files.keys():
        one, other = first.files[name], second.files[name]
        if name.endswith(".intoto.jsonl") and one != other:
            files[name] = sorted([*one, *other])
    return replace(first, files=files, varying=first.varying | second.varying)


WAYS: dict[str, Way] = {"full": full, "read-only": read_only, "clock": clock, "two": two}
"""By name."""
