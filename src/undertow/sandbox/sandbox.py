"""
The sandbox: runs snippets of hostile Python in kernel isolation, and says how each ended.

Bubblewrap gives every snippet a process of its own with no network, nothing to write, nothing to
read but the interpreter, and no capability; a filter of system calls kills it where it starts a
process, a thread or a socket all the same; time, memory and output have limits.
The verdict is the interpreter's, and a snippet that corrupts its interpreter can make it say `ok`.
It reaches nothing of the host by that: what is left to it is a hole in the kernel, and the CPU.
"""

from __future__ import annotations

import functools
import os
import platform
import secrets
import selectors
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from subprocess import PIPE, STDOUT, Popen, TimeoutExpired

from undertow.errors import ConfigError, UndertowError
from undertow.sandbox.sandbox_runner import MACHINES, SEAL, system_call_filter

_RUNNER = files("undertow.sandbox").joinpath("sandbox_runner.py").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one snippet may use; it may never start a process or a thread."""

    seconds: float = 2.0
    """Time on the clock, with the start of the sandbox; kept from outside."""

    cpu_seconds: int = 2
    """Time on the CPU."""

    memory_mb: int = 256
    """Address space in MiB, the interpreter's own included."""

    output_bytes: int = 65_536
    """What it may print; printed text is thrown away."""

    def __post_init__(self) -> None:
        for name in ("seconds", "cpu_seconds", "memory_mb", "output_bytes"):
            if not 0 < (value := getattr(self, name)) < 1 << 31:
                raise ConfigError(f"limits: {name} = {value}; allowed: above 0, below 2^31")


class SnippetOutcome(StrEnum):
    """How a snippet ended."""

    OK = "ok"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    WROTE_FILES = "wrote-files"
    READ_FILES = "read-files"
    OPENED_SOCKET = "opened-socket"
    STARTED_PROCESS = "started-process"
    TOO_MUCH_MEMORY = "too-much-memory"
    TOO_MUCH_OUTPUT = "too-much-output"
    TAMPERED = "tampered"
    FORBIDDEN_CALL = "forbidden-call"


@dataclass(frozen=True, slots=True)
class Result:
    """How one snippet ended, and what there is to say about it."""

    outcome: SnippetOutcome
    """The first thing found; `ok` where the snippet ran to its end and tried nothing forbidden."""

    detail: str = ""
    """At most 120 printable ASCII characters, e.g. the exception; in part the snippet's own words."""


def available() -> str | None:
    """Why snippets cannot be run here, or None if they can; found out once, by running one."""
    bwrap = shutil.which("bwrap")
    return "the program 'bwrap' was not found" if bwrap is None else _fault(bwrap)


def run(sources: Sequence[str], limits: Limits, *, workers: int = 2) -> list[Result]:
    """
    Each snippet in a sandbox of its own, `workers` at a time; results in the order of the sources.

    Raises:
        ConfigError: if there is no kernel sandbox here; nothing was run then.
        UndertowError: if a sandbox did not start.
    """
    if reason := available():
        raise ConfigError(
            f"execution needs a kernel sandbox: {reason}",
            hint="apt-get install bubblewrap, or leave out filter.execute: "
            "code is then parsed and never run",
        )
    bwrap = shutil.which("bwrap") or "bwrap"
    with ThreadPoolExecutor(max(1, workers)) as pool:
        return list(pool.map(lambda source: _run_one(bwrap, source, limits), sources))


@functools.cache
def _fault(bwrap: str) -> str | None:
    if platform.machine() not in MACHINES:
        return f"the system calls of '{platform.machine()}' are not known"
    # Looks around from inside, so that a `bwrap` that isolates nothing is found out as well.
    look = "import os\nassert os.getuid() == 65534 and not os.path.exists('/etc/passwd')"
    try:
        result = _run_one(bwrap, look, Limits(seconds=10.0))
    except UndertowError as error:
        return error.message
    ended = f"a harmless snippet ended with '{result.outcome}' {result.detail}"
    return None if result.outcome is SnippetOutcome.OK else ended


def _run_one(bwrap: str, source: str, limits: Limits) -> Result:
    seal = secrets.token_bytes(SEAL)
    deadline = time.monotonic() + limits.seconds
    with ExitStack() as stack:
        given = _in_memory(stack, seal + source.encode("utf-8", "surrogatepass"))
        system_calls = _in_memory(stack, system_call_filter(platform.machine()))
        heard, channel = os.pipe()
        stack.callback(os.close, heard)
        kept, command = (channel, system_calls), _command(bwrap, system_calls, channel, limits)
        try:
            process = Popen(
                command,
                stdin=given,
                stdout=PIPE,
                stderr=STDOUT,
                env={},
                pass_fds=kept,
                process_group=0,
            )
        except OSError as error:
            raise UndertowError(f"the sandbox did not start: {error}") from error
        finally:
            os.close(channel)
        with process:
            return _result(process, heard, seal, deadline, limits.output_bytes)


def _in_memory(stack: ExitStack, data: bytes) -> int:
    """A file of these bytes on no disk; a pipe would block the writer where nobody reads it."""
    handle = os.memfd_create("sandbox")
    stack.callback(os.close, handle)
    with open(handle, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def _command(bwrap: str, system_calls: int, channel: int, limits: Limits) -> list[str]:
    """The command that shows the interpreter its own files, and nothing else of the host."""
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    prefix = os.path.realpath(sys.base_prefix)
    seen = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache"]
    command = [bwrap, "--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534"]
    command += ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    command += ["--hostname", "sandbox", "--seccomp", str(system_calls)]
    # Without a home the library asks the host's name service, which takes a socket.
    command += ["--setenv", "HOME", "/"]
    for path in dict.fromkeys([*seen, f"{prefix}/lib", f"{prefix}/lib64", python]):
        command += ["--ro-bind-try", path, path]
    command += ["--remount-ro", "/", "--chdir", "/", "--", python, "-I", "-S", "-c", _RUNNER]
    return [*command, str(channel), str(limits.cpu_seconds), str(limits.memory_mb << 20)]


def _result(process: Popen[bytes], heard: int, seal: bytes, deadline: float, most: int) -> Result:
    assert process.stdout is not None
    printed, report = bytearray(), bytearray()
    try:
        status = _listen(process, {process.stdout.fileno(): printed, heard: report}, deadline, most)
    finally:
        # Bubblewrap's death kills the first process of the namespace, and that everything in it.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    if isinstance(status, SnippetOutcome):
        return Result(status)
    begun, _, ending = bytes(report).partition(b"\n")
    if begun != b"begun":
        raise UndertowError(f"the sandbox did not start: {_safe(bytes(printed))}")
    return _verdict(ending, seal, status)


def _listen(
    process: Popen[bytes], heard: Mapping[int, bytearray], deadline: float, most: int
) -> SnippetOutcome | int:
    """Read until all is closed and the process has ended; its exit status, or the limit that it met."""
    with selectors.DefaultSelector() as selector:
        for handle in heard:
            selector.register(handle, selectors.EVENT_READ)
        while selector.get_map():
            if (left := deadline - time.monotonic()) <= 0:
                return SnippetOutcome.TIMEOUT
            for key, _ in selector.select(left):
                if part := os.read(key.fd, 1 << 16):
                    heard[key.fd].extend(part)
                else:
                    selector.unregister(key.fd)
                if len(heard[key.fd]) > most:
                    return SnippetOutcome.TOO_MUCH_OUTPUT
    try:
        return process.wait(max(0.0, deadline - time.monotonic()))
    except TimeoutExpired:
        return SnippetOutcome.TIMEOUT


def _verdict(ending: bytes, seal: bytes, status: int) -> Result:
    if ending == seal + b"ok" and status == 0:
        return Result(SnippetOutcome.OK)
    # Anyone may report something bad of themselves; only `ok` needs the seal.
    name, _, detail = ending.removeprefix(seal).partition(b" ")
    reported = {
        outcome.encode(): outcome for outcome in SnippetOutcome if outcome is not SnippetOutcome.OK
    }
    if name in reported:
        return Result(reported[name], _safe(detail))
    if status == 128 + signal.SIGXCPU:
        return Result(SnippetOutcome.TIMEOUT, "time on the CPU")
    if status == 128 + signal.SIGSYS:
        return Result(SnippetOutcome.FORBIDDEN_CALL, "a process, thread, socket or the like")
    return Result(SnippetOutcome.CRASHED, f"ended without a report, exit status {status}")


def _safe(text: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in text.strip()[:120])
