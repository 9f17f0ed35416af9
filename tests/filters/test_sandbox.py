"""
Hostile snippets end inside the sandbox, and are told from harmless ones.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from undertow.errors import ConfigError
from undertow.filters import sandbox
from undertow.filters.sandbox import Limits, Outcome, run

REASON = sandbox.available()
needs_sandbox = pytest.mark.skipif(REASON is not None, reason=str(REASON))
QUICK = Limits(seconds=3.0)


def outcome(source: str, limits: Limits = QUICK) -> Outcome:
    """
    How one snippet ends.
    """
    return run([source], limits)[0].outcome


@needs_sandbox
@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    return x + 1\n\nassert f(1) == 2",
        "import math, itertools, collections, re, datetime\nprint(math.pi)",
        "if __name__ == '__main__':\n    x = [1, 2]",
    ],
)
def test_harmless_code_runs(source: str) -> None:
    """
    Functions, the harmless part of the library, and a main block.
    """
    assert outcome(source) is Outcome.OK


@needs_sandbox
def test_code_that_does_not_terminate_is_stopped() -> None:
    """
    By the clock, however it waits.
    """
    limits = Limits(seconds=1.0)
    found = {outcome(s, limits) for s in ("while True: pass", "import time\ntime.sleep(60)")}

    assert found == {Outcome.TIMEOUT}


@needs_sandbox
def test_no_file_of_the_host_is_written(tmp_path: Path) -> None:
    """
    Not even where the snippet catches what comes of it; the attempt is reported.
    """
    target = tmp_path / "written"
    source = f"try:\n    open({str(target)!r}, 'w').write('x')\nexcept BaseException:\n    pass"

    assert outcome(source) is Outcome.WROTE_FILES
    assert not target.exists()


@needs_sandbox
def test_no_secret_of_the_host_is_read(tmp_path: Path) -> None:
    """
    A file outside of what the interpreter needs is not there, and asking for it is reported.
    """
    secret = tmp_path / "secret"
    secret.write_text("hidden")

    assert outcome(f"print(open({str(secret)!r}).read())") is Outcome.READ_FILES
    assert outcome("open('/etc/passwd')") is Outcome.READ_FILES


@needs_sandbox
def test_no_connection_reaches_the_host() -> None:
    """
    A listener on the loopback address hears nothing.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        found = outcome(
            f"import socket\ntry:\n    socket.create_connection(('127.0.0.1', {port}), 1)\nexcept OSError:\n    pass"
        )
        with pytest.raises(TimeoutError):
            server.accept()
    assert found is Outcome.OPENED_SOCKET


@needs_sandbox
@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\nsubprocess.run(['ls'])",
        "import os\nwhile True:\n    os.fork()",
        "import os\nos.system('ls')",
        "import threading\nthreading.Thread(target=print).start()",
    ],
)
def test_no_process_or_thread_is_started(source: str) -> None:
    """
    Neither by the library nor by a fork bomb.
    """
    assert outcome(source) in (Outcome.STARTED_PROCESS, Outcome.FORBIDDEN_CALL)


@needs_sandbox
def test_memory_and_output_have_limits() -> None:
    """
    Allocating and printing without bound end the snippet, not the host.
    """
    assert outcome("x = bytearray(1 << 33)") is Outcome.TOO_MUCH_MEMORY
    assert outcome("while True:\n    print('x' * 1000)") is Outcome.TOO_MUCH_OUTPUT


@needs_sandbox
@pytest.mark.parametrize(
    "source",
    [
        "import os\nos._exit(0)",
        "raise SystemExit(0)",
        "def f(:",
        "1 / 0",
        "import os\nfor fd in range(3, 20):\n    try:\n        os.write(fd, b'ok')\n    except OSError:\n        pass\nos._exit(0)",
        "import os\nos._exit = lambda code: None\nraise ValueError('x')",
    ],
)
def test_no_ending_but_the_end_is_ok(source: str) -> None:
    """
    Leaving early, failing, and writing `ok` to every open file do not pass for a clean run.
    """
    assert outcome(source) is not Outcome.OK


@needs_sandbox
def test_results_keep_the_order_of_the_snippets() -> None:
    """
    With several at a time, each result stands where its snippet stood.
    """
    results = run(["x = 1", "1 / 0", "x = 2", "raise SystemExit"] * 2, QUICK, workers=4)

    assert [r.outcome is Outcome.OK for r in results] == [True, False, True, False] * 2


def test_without_a_sandbox_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The refusal names what is missing and what to do; the snippet has no effect.
    """
    monkeypatch.setattr("shutil.which", lambda name: None)
    target = tmp_path / "written"
    with pytest.raises(ConfigError, match="needs a kernel sandbox: the program 'bwrap'"):
        run([f"open({str(target)!r}, 'w')"], QUICK)
    assert not target.exists()
