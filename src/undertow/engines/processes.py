"""The engine that works in several processes of this machine, one computing thread each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess

from undertow.engines.engine import R, T, single_thread
from undertow.errors import UndertowError

_PATIENCE = 10.0
"""Seconds to wait for a killed process to be gone."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Fresh processes (start method `spawn`) that end with this one, however it ends."""

    jobs: int
    """Most processes at a time."""

    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """
        (index, result) as the tasks finish.

        Raises:
            UndertowError: what a task raised, or that a process was killed.
        """
        if not tasks:
            return
        pool = ProcessPoolExecutor(
            max_workers=min(self.jobs, len(tasks)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare,
        )
        # The pool drops its own reference when it shuts down; the exit codes are needed after that.
        children = pool._processes
        try:
            with _environment(single_thread()):
                indices = {pool.submit(worker, task): i for i, task in enumerate(tasks)}
            yield from _results(indices)
            pool.shutdown()
        except BrokenProcessPool as error:
            # The pool's own thread reaps its children: two that wait for one child lose its exit code.
            pool.shutdown()
            raise _death(list(children.values())) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            _kill(list(children.values()))


def _results(indices: dict[Future[R], int]) -> Iterator[tuple[int, R]]:
    for future in as_completed(indices):
        # Popped, so that a result is not kept for longer than its reader wants it.
        yield indices.pop(future), future.result()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    # Children copy the environment when they are started; libraries read it when they are loaded.
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _prepare() -> None:
    """Make a fresh child deaf to Ctrl-C, mortal with its parent, and single-threaded."""
    # Ctrl-C reaches the whole process group; the parent kills its children without their noise.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A torch that is loaded later takes its number of threads from the environment.
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def _end_with_parent() -> None:
    # A child that outlived a killed parent would go on writing into a run that is resumed.
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _death(children: list[BaseProcess]) -> UndertowError:
    codes = sorted({code for child in children if (code := child.exitcode)})
    if -signal.SIGKILL in codes:
        return UndertowError(
            "a worker process was killed from outside, most likely because memory ran out",
            hint="run the same command again with a lower --jobs",
        )
    return UndertowError(
        f"a worker process ended before its task did (exit codes {codes})",
        hint="run the same command again with --jobs 1 to see why",
    )


def _kill(children: list[BaseProcess]) -> None:
    for child in children:
        with contextlib.suppress(ValueError):  # already closed by the pool
            child.kill()
    for child in children:
        with contextlib.suppress(ValueError):
            child.join(_PATIENCE)
