"""Engines: one callable applied to many tasks, in this process or in several; `ray_cluster` spreads them over nodes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Protocol, Self, TypeVar

from undertow.engines.work_progress import Listener, Told, current_listener, listen
from undertow.errors import UndertowError

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4
"""Tasks for each process that are begun or wait while results are not taken: more would fill memory with what nobody reads."""

_PATIENCE = 10.0
"""Seconds to wait for a killed process to be gone."""


class Engine(ABC):
    """A way to spread work; leaving its block gives back what it holds."""

    @abstractmethod
    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """
        (index of the task, result) for every task, in the order in which they finish.

        The worker is a picklable instance of a class with `__call__`. The first task that raises
        stops the others, and its exception is raised here. Leaving the iterator stops them too.
        """

    def join(self) -> None:  # noqa: B027
        """Be ready for work, or say at once why that cannot be; most engines always are."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 (nothing is what most of them do)
        """Give back what is held between two pieces of work; most engines hold nothing."""


def single_thread() -> dict[str, str]:
    """
    Environment variables under which a process computes with one thread.

    Two processes of two threads each on two cores are many times slower than one of each.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, "1") | {"TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True, slots=True)
class InProcess(Engine):
    """One task after the other, in order."""

    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """(index, result) in the order of the tasks."""
        for index, task in enumerate(tasks):
            yield index, worker(task)


@dataclass
class Processes(Engine):
    """
    Fresh processes (start method `spawn`) that end with this one, however it ends.

    They end with their work, unless they are `lasting`: then the next work within the engine's block finds them with all
    that they have loaded, which takes longer than many a job.
    """

    jobs: int
    """Most processes at a time."""
    lasting: bool = False
    _idle: _Pool | None = field(default=None, init=False, repr=False, compare=False)
    _working: list[_Pool] = field(default_factory=list, init=False, repr=False, compare=False)

    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """
        (index, result) as the tasks finish.

        Raises:
            UndertowError: what a task raised, or that a process was killed.
        """
        if not tasks:
            return
        # Nobody else may have it while it is at work, nor afterwards where the work is left.
        most = self.jobs if self.lasting else min(self.jobs, len(tasks))
        pool, whole = self._idle or _Pool(most), False
        self._idle = None
        self._working.append(pool)
        try:
            yield from pool.results(worker, tasks)
            whole = True
        finally:
            self._working.remove(pool)
            if whole and self.lasting:
                self._idle = pool
            else:
                pool.end(wait=whole)

    def close(self) -> None:
        """End the processes that are kept, and those whose results nobody will read."""
        # An error that is still told keeps the reader of results alive, and with it what it reads from.
        for working in list(self._working):
            working.end(wait=False)
        pool, self._idle = self._idle, None
        if pool is not None:
            pool.end(wait=True)


class _Pool:
    """Processes that wait for tasks, and a thread that hears what they tell."""

    def __init__(self, jobs: int) -> None:
        heard, self._told = multiprocessing.get_context("spawn").Pipe(duplex=False)
        self._listener, self._jobs = current_listener(), jobs
        self._relay = threading.Thread(target=_relay, args=(heard, self._hear), daemon=True)
        self._relay.start()
        self._executor = ProcessPoolExecutor(
            max_workers=jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare,
            initargs=(self._told,),
        )
        # The pool drops its own reference when it shuts down; the exit codes are needed after that.
        self._children = self._executor._processes

    def results(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """(index, result) as the tasks finish; raises `UndertowError` where a process was killed."""
        self._listener = current_listener()
        try:
            yield from self._results(worker, iter(enumerate(tasks)))
        except BrokenProcessPool as error:
            # The pool's own thread reaps its children: two that wait for one child lose its exit code.
            self._executor.shutdown()
            raise _death(list(self._children.values())) from error

    def _results(
        self, worker: Callable[[T], R], left: Iterator[tuple[int, T]]
    ) -> Iterator[tuple[int, R]]:
        indices: dict[Future[R], int] = {}
        done: set[Future[R]] = set()
        while True:
            with environment(single_thread()):
                for index, task in islice(left, AHEAD * self._jobs - len(indices)):
                    indices[self._executor.submit(worker, task)] = index
            if not indices:
                return
            done = done or wait(indices, return_when=FIRST_COMPLETED).done
            # Popped, so that a result is not kept for longer than its reader wants it.
            future = done.pop()
            yield indices.pop(future), future.result()

    def _hear(self, told: Told) -> None:
        self._listener(told)

    def end(self, *, wait: bool) -> None:
        """Let go of those that wait for tasks, or kill what is still at work."""
        if wait:
            self._executor.shutdown()
        with undisturbed():
            self._executor.shutdown(wait=False, cancel_futures=True)
            _kill(list(self._children.values()))
            # With the last writer the relay comes to its end.
            self._told.close()
            self._relay.join(_PATIENCE)


class Progress(Protocol):
    """A listener for stages of counted work; all methods are called from one thread."""

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Begin a stage of `total` units of work, some done before; it ends the stage before it."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Report `n` more finished units of the current stage, with a remark on what is going on."""

    def finish(self) -> None:
        """End the last stage; harmless when called again or before any stage."""


class SilentProgress:
    """A listener that says nothing, for libraries and tests."""

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Ignore the stage."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Ignore the step."""

    def finish(self) -> None:
        """Ignore the end."""


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Within the block, the environment has these variables."""
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


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """
    Within the block, which has to be short, Ctrl-C does nothing: what is at its end already is not left half-way.

    Whoever interrupts may do so twice, as wrappers do that hand on what the whole process group got as well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        # Python knows no handler that a library set in its own language.
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)


def _prepare(told: Connection[Told, Told]) -> None:
    """Make a fresh child deaf to Ctrl-C, mortal with its parent, single-threaded, and tell the parent how far it is."""
    # A parent that does not listen for a while is not waited for: what it misses is old by then.
    os.set_blocking(told.fileno(), False)
    listen(_Sender(told))
    # Ctrl-C reaches the whole process group; the parent kills its children without their noise.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A torch that is loaded later takes its number of threads from the environment.
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


class _Sender:
    """
    Sends what is told through a pipe.

    A message is short enough to be written at once or not at all, so that no lock is needed, which a child could be
    killed with, and nothing is ever torn.
    """

    def __init__(self, told: Connection[Told, Told]) -> None:
        self._told = told

    def __call__(self, told: Told) -> None:
        with contextlib.suppress(OSError):
            self._told.send(told)


def _relay(heard: Connection[Told, Told], listener: Listener) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            listener(heard.recv())


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


def usable_cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
