"""The sandbox: what hostile code cannot do, and that what it tries is noticed."""

from __future__ import annotations

import re
import shutil
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from undertow.errors import ConfigError, UndertowError
from undertow.sandbox import sandbox
from undertow.sandbox.sandbox import Limits, Result, SnippetOutcome, available, run
from undertow.sandbox.sandbox_runner import DENIED, MACHINES, system_call_filter

REASON = available()
isolated = pytest.mark.skipif(REASON is not None, reason=f"no kernel sandbox: {REASON}")

PATIENT = Limits(seconds=20.0, cpu_seconds=10)
"""For snippets that end by themselves, so that a busy machine is no failure."""

HOOK = "    sys.addaudithook(_hook(channel))\n"

FORGERY = """
import os, sys
found, frame = [], sys._getframe()
while frame:
    for scope in (frame.f_locals, frame.f_globals):
        for value in list(scope.values()):
            found += list(value) if type(value) in (list, tuple) else [value]
    frame = frame.f_back
for number in range(256):
    try:
        os.lseek(number, 0, 0)
        found.append(os.read(number, 32))
    except OSError:
        pass
seals = [each for each in found if type(each) is bytes and len(each) == 32]
for number in range(3, 256):
    try:
        os.write(number, seals[0] + b"ok")
    except (IndexError, OSError):
        pass
os._exit(0)
"""
"""Looks for the seal in every frame and open file, and reports `ok` with it."""


def one(source: str, limits: Limits = PATIENT) -> Result:
    """The result of a single snippet."""
    return run([source], limits, workers=1)[0]


def caught(line: str) -> str:
    """A snippet that tries the line and carries on whatever comes of it."""
    return f"try:\n    {line}\nexcept BaseException:\n    pass\n"


@pytest.fixture(params=["all", "no hook", "no hook and no filter"])
def layers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The sandbox as it is, then without what notices, then without the filter of system calls."""
    layers = str(request.param)
    if layers != "all":
        assert HOOK in sandbox._RUNNER
        monkeypatch.setattr(sandbox, "_RUNNER", sandbox._RUNNER.replace(HOOK, ""))
    if layers == "no hook and no filter":
        allow = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
        monkeypatch.setattr(sandbox, "system_call_filter", lambda machine: allow)
    return layers


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket on the host that waits for visitors."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def survivors(mark: str) -> list[Path]:
    """Processes with the mark among their arguments, given time to be gone."""
    for _ in range(100):
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if mark.encode() in path.read_bytes().split(b"\0"):
                    found.append(path)
            except OSError:
                continue  # it ended meanwhile
        if not found:
            return []
        time.sleep(0.02)
    return found


@isolated
@pytest.mark.parametrize(
    "source",
    [
        "def add(a, b):\n    return a + b\n\nassert add(2, 3) == 5\nprint(add(1, 1))\n",
        "",
        "import collections, dataclasses, json, random, re, typing, zoneinfo\n"
        "Point = collections.namedtuple('Point', 'x y')\nprint(Point(1, 2))\n",
        "assert __name__ == '__main__'\nimport __main__\nassert vars(__main__) is globals()\n",
        "try:\n    compile('def (', '<string>', 'exec')\nexcept SyntaxError:\n    pass\n",
    ],
)
def test_harmless_code_is_ok(source: str) -> None:
    """Functions, prints, the standard library and a caught mistake are nothing to remove a row for."""
    assert one(source) == Result(SnippetOutcome.OK)


@isolated
@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def (", "SyntaxError: invalid syntax (<snippet>, line 1)"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("import os\nos._exit(0)", "ended without a report, exit status 0"),
        ("import os\nos.abort()", "ended without a report, exit status 134"),
        ("input()", "EOFError: EOF when reading a line"),
        ("def down():\n    down()\ndown()", "RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_code_that_does_not_reach_its_end_crashed(source: str, detail: str) -> None:
    """An exception, bad syntax and every early exit are crashes, also with status 0."""
    result = one(source)

    assert result.outcome is SnippetOutcome.CRASHED
    assert result.detail.startswith(detail)


@isolated
@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("open('/tmp/x', 'w')", SnippetOutcome.WROTE_FILES),
        ("import os; os.open('x', os.O_CREAT)", SnippetOutcome.WROTE_FILES),
        ("import os; os.mkdir('/tmp')", SnippetOutcome.WROTE_FILES),
        ("import tempfile; tempfile.mkdtemp()", SnippetOutcome.WROTE_FILES),
        ("open('/etc/passwd')", SnippetOutcome.READ_FILES),
        ("import socket; socket.socket()", SnippetOutcome.OPENED_SOCKET),
        ("import socket; socket.getaddrinfo('example.org', 80)", SnippetOutcome.OPENED_SOCKET),
        ("import subprocess; subprocess.run(['ls'])", SnippetOutcome.STARTED_PROCESS),
        ("import os; os.system('ls')", SnippetOutcome.STARTED_PROCESS),
        ("import os; os.execv('/bin/sh', ['sh'])", SnippetOutcome.STARTED_PROCESS),
        ("import ctypes", SnippetOutcome.TAMPERED),
        ("import gc; gc.get_objects()", SnippetOutcome.TAMPERED),
        ("import sys; sys.settrace(print)", SnippetOutcome.TAMPERED),
        ("import os; os.kill(1, 9)", SnippetOutcome.TAMPERED),
        ("import resource as r; r.setrlimit(r.RLIMIT_CPU, (1, 1))", SnippetOutcome.TAMPERED),
    ],
)
def test_an_attempt_is_noticed_though_the_exception_is_caught(
    line: str, outcome: SnippetOutcome
) -> None:
    """Code that tries what is forbidden and carries on as if nothing had been is found out."""
    assert one(caught(line)).outcome is outcome


@isolated
@pytest.mark.parametrize(
    "line",
    [
        "import os; os.fork()",
        "import socket; socket.socket()",
        "import socket; socket.socketpair()",
        "import threading; threading.Thread(target=print).start()",
        "import ctypes; ctypes.CDLL(None).fork()",
        "import ctypes; ctypes.CDLL(None).unshare(0x10000000)",
        "import ctypes; ctypes.CDLL(None).memfd_create(b'x', 0)",
    ],
)
def test_the_kernel_kills_what_no_hook_notices(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the hook, a denied system call still ends the process, and no exception is there to catch."""
    monkeypatch.setattr(sandbox, "_RUNNER", sandbox._RUNNER.replace(HOOK, ""))

    assert one(caught(line)).outcome is SnippetOutcome.FORBIDDEN_CALL


@isolated
def test_a_fork_bomb_does_not_go_off(layers: str) -> None:
    """The first fork ends it, or it ends with the time; nothing of it is left on the host."""
    # The one layering without a filter is the fork of a single sleeper: root has no limit there.
    bomb = "import os\nwhile True:\n    os.fork()\n"
    sleeper = "import os, time\nos.fork()\ntime.sleep(60)\n"
    limits = Limits(seconds=1.0, memory_mb=123)

    result = one(sleeper if layers == "no hook and no filter" else bomb, limits)

    assert result.outcome is not SnippetOutcome.OK
    assert survivors(str(123 << 20)) == []


@isolated
@pytest.mark.parametrize(
    "source",
    [
        "while True:\n    pass\n",
        "while True:\n    try:\n        import time; time.sleep(9)\n    except BaseException:\n        pass\n",
        "import os, signal\nfor each in (2, 15, 24):\n    signal.signal(each, signal.SIG_IGN)\n"
        "for each in range(32):\n    try:\n        os.close(each)\n    except OSError:\n        pass\n"
        "while True:\n    pass\n",
        "def loop():\n    while True:\n        pass\nclass Slow(Exception):\n    __str__ = lambda self: loop()\nraise Slow\n",
    ],
)
def test_what_never_ends_is_ended(source: str) -> None:
    """Loops, sleeps, ignored signals and closed files do not outlast the clock, nor does a process."""
    started = time.monotonic()

    assert one(source, Limits(seconds=0.4, memory_mb=122)).outcome is SnippetOutcome.TIMEOUT
    assert time.monotonic() - started < 60
    assert survivors(str(122 << 20)) == []


@isolated
def test_time_on_the_cpu_is_limited_as_well() -> None:
    """A busy loop ends by its CPU time where the clock allows more."""
    limits = Limits(seconds=20.0, cpu_seconds=1)

    assert one("while True:\n    pass\n", limits) == Result(
        SnippetOutcome.TIMEOUT, "time on the CPU"
    )


@isolated
def test_no_file_is_written_on_the_host(layers: str, tmp_path: Path) -> None:
    """The host's folder has nothing new, with and without what notices the attempt."""
    target = tmp_path / "escaped"
    source = f"import os\nos.makedirs({str(tmp_path)!r}, exist_ok=True)\nopen({str(target)!r}, 'w').write('x')\n"

    assert one(source).outcome is not SnippetOutcome.OK
    assert not target.exists()


@isolated
def test_nothing_inside_can_be_written(layers: str) -> None:
    """There is no writable folder at all, so that no memory can be taken by files."""
    tries = "".join(
        f"try:\n    open({path!r} + '/x', 'w')\nexcept OSError:\n    pass\nelse:\n    os._exit(0)\n"
        for path in ("", "/tmp", "/dev/shm", "/root", "/usr/lib")
    )

    assert one(f"import os\n{tries}").outcome is (
        SnippetOutcome.WROTE_FILES if layers == "all" else SnippetOutcome.OK
    )


@isolated
def test_a_secret_of_the_host_cannot_be_read(layers: str, tmp_path: Path) -> None:
    """Files outside the interpreter's own do not exist inside."""
    secret = tmp_path / "secret"
    secret.write_text("owl")

    result = one(f"print(open({str(secret)!r}).read())")

    assert result.outcome is (
        SnippetOutcome.READ_FILES if layers == "all" else SnippetOutcome.CRASHED
    )
    assert layers == "all" or result.detail.startswith("FileNotFoundError")


@isolated
def test_the_host_is_not_visible(layers: str) -> None:
    """No environment, no user, no process, no project and no folder of the host is to be seen."""
    source = f"""
import os
assert dict(os.environ).keys() <= {{"HOME", "PWD", "LC_CTYPE"}}, sorted(os.environ)
assert os.getuid() == os.getgid() == 65534
assert os.getpid() <= 3 and os.uname().nodename == "sandbox"
for path in ("/proc", "/sys", "/dev", "/tmp", "/home", "/etc/passwd", "/usr/bin/env", {__file__!r}):
    assert not os.path.exists(path), path
"""

    assert one(source) == Result(SnippetOutcome.OK)


@isolated
def test_no_connection_reaches_the_host(layers: str, listener: socket.socket) -> None:
    """A socket of the host on 127.0.0.1 is not there inside, with and without what notices."""
    address = listener.getsockname()

    assert one(f"import socket\nsocket.create_connection({address!r}, 1)").outcome in {
        "all": {SnippetOutcome.OPENED_SOCKET},
        "no hook": {SnippetOutcome.FORBIDDEN_CALL},
        "no hook and no filter": {SnippetOutcome.CRASHED},
    }.get(layers, set())
    with pytest.raises(BlockingIOError):
        listener.accept()


@isolated
@pytest.mark.parametrize(
    "source",
    [
        "kept = []\nwhile True:\n    kept.append('a' * 1000 + str(len(kept)))\n",
        "bytes(10**10)\n",
        "number = 3\nwhile True:\n    number = number << number.bit_length()\n",
    ],
)
def test_memory_is_limited(source: str) -> None:
    """Allocation without bound meets the limit, not the host's memory."""
    limits = Limits(seconds=20.0, cpu_seconds=10, memory_mb=64)

    assert one(source, limits).outcome is SnippetOutcome.TOO_MUCH_MEMORY


@isolated
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7])
def test_output_without_end_is_cut(number: int) -> None:
    """Printing forever, on any open file, ends at the limit and fills no memory."""
    source = f"import os\nwhile True:\n    os.write({number}, b'x' * 4096)\n"

    assert one(source).outcome in {SnippetOutcome.TOO_MUCH_OUTPUT, SnippetOutcome.CRASHED}
    assert number > 2 or one(source).outcome is SnippetOutcome.TOO_MUCH_OUTPUT


@isolated
@pytest.mark.parametrize(
    "source",
    [
        FORGERY,
        "import os\nfor each in range(32):\n    try:\n        os.write(each, b'begun\\nok')\n    except OSError:\n        pass\n",
        "import builtins\nbuiltins.BaseException = builtins.MemoryError = KeyError\n1 / 0\n",
        "import os, sys\nos.write = os._exit = lambda *_: sys.exit(0)\n1 / 0\n",
        "import os\nread, write = os.pipe()\nfor each in range(3, 30):\n    os.dup2(write, each)\nopen('x', 'w')\n",
    ],
)
def test_ok_cannot_be_forged(source: str) -> None:
    """Searching for the seal, writing to every file, patching and redirecting do not make a bad end good."""
    assert one(source).outcome is SnippetOutcome.CRASHED


@isolated
def test_what_the_snippet_says_is_short_and_plain() -> None:
    """An exception's text cannot carry escapes or a flood into a ledger or a terminal."""
    detail = one("raise ValueError('\\x1b[31m\\n<b>' + '\\u202e' * 5000)").detail

    assert re.fullmatch(r"ValueError: [ -~]{1,108}", detail)


@isolated
def test_results_are_in_the_order_of_the_sources() -> None:
    """Several workers and unequal times do not change which result is whose."""
    sources = [f"import time\ntime.sleep({0.2 - 0.04 * i})\nraise KeyError({i})" for i in range(5)]

    details = [result.detail for result in run([*sources, "", "\ud800"], PATIENT, workers=3)]

    assert details[:6] == [*(f"KeyError: {i}" for i in range(5)), ""]
    assert details[6].startswith("UnicodeDecodeError")


def test_without_bubblewrap_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code is refused with the reason and what to install, never run on the host."""
    monkeypatch.setattr(shutil, "which", lambda name: None)

    with pytest.raises(
        ConfigError, match=r"needs a kernel sandbox: the program 'bwrap' was not"
    ) as e:
        run(["raise AssertionError"], Limits())

    assert e.value.hint.startswith("apt-get install bubblewrap, or leave out filter.execute")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'no namespaces here' >&2; exit 1", "did not start: no namespaces here"),
        ('while [ "$1" != -- ]; do shift; done; shift; exec "$@"', "'crashed' AssertionError"),
        ("exit 0", "did not start"),
    ],
)
def test_a_sandbox_that_does_not_isolate_is_refused(
    script: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A `bwrap` that fails, and one that runs its command in the open, are no sandbox."""
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(fake))

    assert reason in (available() or "")


def test_a_program_that_cannot_be_started_is_an_error_of_undertow(tmp_path: Path) -> None:
    """What the operating system says on starting the sandbox is told, not a traceback."""
    with pytest.raises(UndertowError, match="the sandbox did not start"):
        sandbox._run_one(str(tmp_path / "none"), "", Limits())


@pytest.mark.parametrize("name", ["seconds", "cpu_seconds", "memory_mb", "output_bytes"])
def test_limits_are_above_zero(name: str) -> None:
    """A limit of nothing, which the kernel could read as none, is refused."""
    with pytest.raises(ConfigError, match=rf"limits: {name} = 0; allowed: above 0"):
        Limits(**{name: 0})


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_is_a_whole_program_for_each_machine(machine: str) -> None:
    """Instructions are 8 bytes, each denied call is compared and answered, and the last one allows."""
    program = list(struct.iter_unpack("=HBBI", system_call_filter(machine)))
    numbers = [number for group in DENIED for number in group[machine]]

    assert [k for code, _, _, k in program if code == 0x15] == [MACHINES[machine], *numbers]
    assert program[-1] == (0x06, 0, 0, 0x7FFF0000)
    assert len(set(numbers)) == len(numbers)
