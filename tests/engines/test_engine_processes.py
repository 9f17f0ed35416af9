"""The engine of several processes: results, failures, kills and interrupts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import tasks
from tests.engines.clusters import wait_until
from undertow.engines import choose, engine
from undertow.engines.engine import AHEAD, Engine, Processes
from undertow.engines.work_progress import listening
from undertow.errors import UndertowError, UnknownNameError

ROOT = Path(__file__).parents[2]


def test_every_task_gives_its_result_once() -> None:
    """The results are those of a loop, whatever their order."""
    results = dict(Processes(2).map(tasks.Power(2), range(20)))

    assert results == {n: n**2 for n in range(20)}


def test_no_more_is_begun_than_is_read(tmp_path: Path) -> None:
    """While nobody takes results, a process goes no further than AHEAD tasks: memory does not grow with what is left."""
    work = Processes(1).map(tasks.Marker(tmp_path), range(1, 100))
    next(work)
    wait_until(lambda: len(list(tmp_path.glob("finished-*"))) >= AHEAD)
    time.sleep(0.5)

    assert AHEAD <= len(list(tmp_path.glob("started-*"))) <= AHEAD + 1
    assert len(dict(work)) == 98


def test_nothing_to_do_starts_nothing() -> None:
    """No tasks, no results, no processes."""
    assert list(Processes(2).map(tasks.Power(2), [])) == []


def test_children_compute_with_one_thread_and_this_process_keeps_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The variable is 1 in another process and unchanged here."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")

    [(_, (process, value))] = Processes(1).map(tasks.Environment(), ["OMP_NUM_THREADS"])

    assert process != os.getpid()
    assert value == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_torch_in_a_child_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that the worker loads takes the one thread from its environment."""
    pytest.importorskip("torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    assert list(Processes(1).map(tasks.TorchThreads(), [0])) == [(0, 1)]


def test_lasting_processes_take_the_next_work_and_end_with_the_block() -> None:
    """One process did both; without the word another does each."""
    with choose("processes", 1, lasting=True) as engine:
        first, second = (_worked(engine) for _ in range(2))
        assert alive(first)
    with choose("processes", 1) as engine:
        others = {_worked(engine) for _ in range(2)}

    assert first == second != os.getpid()
    assert not alive(first)
    assert len(others) == 2


def test_lasting_processes_end_with_work_that_fails(tmp_path: Path) -> None:
    """What may still be at work is killed; the next work has others, and all their progress is heard by who listens then."""
    heard: list[object] = []
    with choose("processes", 1, lasting=True) as engine:
        first = _worked(engine)
        with pytest.raises(UnknownNameError):
            list(engine.map(tasks.Marker(tmp_path), [0, 1]))
        assert not alive(first)
        assert _worked(engine) != first
        with listening(heard.append):
            assert list(engine.map(tasks.Telling(), ["job"])) == [(0, "job")]
            wait_until(lambda: bool(heard))


def _worked(engine: Engine) -> int:
    """The process that did a task."""
    [(_, (process, _))] = engine.map(tasks.Environment(), ["HOME"])
    return int(process)


def test_a_failed_task_stops_the_rest_and_raises_the_original(tmp_path: Path) -> None:
    """The error arrives with its class, message and hint, at once, and no other task finishes."""
    started = time.monotonic()

    with pytest.raises(UnknownNameError, match="did you mean 'owl'") as caught:
        list(Processes(2).map(tasks.Marker(tmp_path, 300.0), [1, 0, 2, 3]))

    assert caught.value.hint == "undertow traits"
    assert time.monotonic() - started < 100
    assert list(tmp_path.glob("finished-*")) == []


@pytest.mark.parametrize(("by_signal", "hint"), [(True, "lower --jobs"), (False, "--jobs 1")])
def test_a_killed_process_is_an_error_with_a_hint(by_signal: bool, hint: str) -> None:
    """A child killed by a signal hints at memory; one that left by itself at how to look closer."""
    with pytest.raises(UndertowError) as caught:
        list(Processes(2).map(tasks.Doomed(by_signal), [0, 1]))

    assert hint in caught.value.hint


def test_leaving_the_iterator_kills_what_still_runs(tmp_path: Path) -> None:
    """After the iterator is closed, no child is alive."""
    results = Processes(2).map(tasks.Sleeper(tmp_path), [1, 60])

    assert next(results) == (0, 1)
    results.close()  # type: ignore[attr-defined]
    assert not any(map(alive, children(tmp_path)))


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_children_end_with_their_parent(tmp_path: Path, kill: signal.Signals) -> None:
    """However the parent is stopped, its children are gone within seconds."""
    with slow_work(tmp_path) as parent:
        parent.send_signal(kill)

        assert parent.wait(60) != 0
        wait_until(lambda: not any(map(alive, children(tmp_path))))


def test_ctrl_c_is_left_to_the_parent(tmp_path: Path) -> None:
    """The terminal interrupts parent and children alike; a child takes no notice."""
    with slow_work(tmp_path) as parent:
        for child in children(tmp_path):
            os.kill(child, signal.SIGINT)

        with pytest.raises(subprocess.TimeoutExpired):
            parent.wait(0.7)
        assert all(map(alive, children(tmp_path)))


def test_an_interrupt_that_comes_twice_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes while the first ends the processes: they are killed all the same, and it is heard no more."""
    kill = engine._kill

    def interrupted(children: list[Any]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        kill(children)

    results = Processes(2).map(tasks.Sleeper(tmp_path), [1, 60])
    assert next(results) == (0, 1)
    monkeypatch.setattr(engine, "_kill", interrupted)
    before = signal.getsignal(signal.SIGINT)
    results.close()  # type: ignore[attr-defined]

    assert not any(map(alive, children(tmp_path)))
    assert signal.getsignal(signal.SIGINT) is before


def test_processes_end_with_the_block_where_an_error_keeps_their_reader(tmp_path: Path) -> None:
    """Who reads results is interrupted, and the error is still told: nothing goes on beside that."""

    def read() -> None:
        with Processes(2) as spread:
            for _ in spread.map(tasks.Sleeper(tmp_path), [1, 60]):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept:
        read()

    assert kept.traceback
    assert children(tmp_path)
    assert not any(map(alive, children(tmp_path)))


@contextlib.contextmanager
def slow_work(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with two busy children."""
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.engines.tasks", str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        stderr=subprocess.DEVNULL,
        # A shell's background jobs ignore Ctrl-C, and so would everything that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with parent:
        try:
            wait_until(lambda: len(children(folder)) == 2)
            yield parent
        finally:
            parent.kill()


def children(folder: Path) -> set[int]:
    """Process ids that started a task."""
    return {int(path.name.split("-")[-1]) for path in folder.glob("started-*")}


def alive(process: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
