"""
Ray Data: the same callable, mapped over a stream of parts of a dataset by a pool of actors.

What flows is which part to read and what came of it, not the rows: a part is read where it is worked on. Ray Data hands
out no more parts than its actors take while results wait to be fetched (back-pressure), does again what a lost worker or
node had in hand, and gives results as they finish; who puts them together keeps to the order of the parts.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from undertow.engines import choose, usable_cores
from undertow.engines.engine import environment, single_thread
from undertow.engines.ray_cluster import Ray
from undertow.engines.ray_nodes import connect, refuse_no_answer, refuse_versions, versions_here
from undertow.errors import MissingExtraError

T = TypeVar("T")
R = TypeVar("R")

BLOCKS = 4096
"""Blocks of tasks at most: each is looked after on its own."""


ENOUGH = 32 << 20
"""Bytes from which several processes read rows quicker than one."""

_UNWATCHED = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_USAGE_DISABLED": "1"}
"""Ray Data counts for its makers what it was used for, by a thread that goes on asking when the cluster is left."""

_PATIENCE = 30.0
"""Seconds in which the threads of a stream end, once it is closed."""


def spread_of(
    name: str | None, jobs: int | None, size: int, gpus: float | None = None
) -> Callable[[Callable[[T], R], Sequence[T]], Iterator[tuple[int, R]]] | None:
    """
    How reading so many bytes is spread by an engine of this name; None for a loop in this process.

    Without a name, over processes where that is quicker. `gpus` are what each worker takes of a Ray node.

    Raises:
        UnknownNameError: there is no such engine.
        InputError: `jobs` is less than 1, or no cluster answers at the address.
    """
    if name is None:
        name = "inprocess" if size < ENOUGH or (jobs or usable_cores()) == 1 else "processes"
    engine = choose(name, jobs)
    if name == "inprocess":
        return None
    if not isinstance(engine, Ray):
        return engine.map
    if engine.address not in (None, "auto"):
        # Rows of one part are read here: a wrong address would never be noticed.
        refuse_no_answer(engine.address)
    return RayData(jobs, engine.address, gpus).map


@dataclass(frozen=True)
class RayData:
    """A pool of actors of one core each, on the cluster that is connected, or on a local one of its own."""

    jobs: int | None = None
    """Actors; as many as the cluster has cores if None."""
    address: str | None = None
    """Of the cluster's head."""
    gpus: float | None = None
    """Of a node that an actor takes, or a share of one; none if None."""

    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """
        (index, result) as the tasks finish.

        Raises:
            MissingExtraError: Ray, or its part for data, is not installed.
            InputError: there is no cluster at the address, or a node of it has another Python or undertow.
            UndertowError, OSError: what a task raised.
        """
        ray, data = _libraries()
        leave = None if ray.is_initialized() else connect(ray, self.address, self.jobs)
        others = set(threading.enumerate())
        stream = _stream(ray, data, self, worker, tasks)
        try:
            with environment(_UNWATCHED), contextlib.closing(stream):
                for row in stream:
                    well, result = pickle.loads(row["result"])
                    if not well:
                        _refuse(result)
                    yield row["index"], result
        finally:
            if leave is not None:
                _await_end(set(threading.enumerate()) - others)
                leave()


def mapped_batch() -> type:
    """The class of actors that work on tasks."""

    # Classes within a function travel as they are: a node with another undertow, or none, can say so.
    class MappedBatch:
        """What an actor does with a batch of tasks: each result is given as it is ready."""

        def __init__(self, worker: bytes, fitting: tuple[str, str], node: str) -> None:
            """Once an actor, so that what the callable keeps is kept; it is read where the versions fit."""
            import pickle
            import platform
            import socket

            import ray

            self.worker: Any = None
            self.away = ray.get_runtime_context().get_node_id() != node
            # What the system refuses (a full disk) has words for the user as well.
            self.told: tuple[type[Exception], ...] = (OSError,)
            python, version = platform.python_version(), "(none)"
            try:
                from undertow import __version__ as version
                from undertow.errors import ModelError, UndertowError

                self.told, self.local = (OSError, UndertowError), ModelError
            except ImportError:
                version += " without this engine"
            if (python, version) == fitting:
                self.worker = pickle.loads(worker)
            self.here = {"Python": python, "undertow": version, "host": socket.gethostname()}

        def __call__(self, batch: Any) -> Iterator[Any]:
            """One row a task: its index, and its result behind whether there is one; else what it raised, or what is here."""
            import pickle

            import pyarrow

            for index, task in zip(batch["index"], batch["task"], strict=True):
                result: tuple[bool, Any] = False, self.here
                try:
                    if self.worker is not None:
                        result = True, self.worker(pickle.loads(task.as_py()))
                except self.told as error:
                    # The files of a model may be on some nodes only; rows are the same everywhere.
                    if self.away and isinstance(error, self.local):
                        error = self.local(
                            f"{error.message} (on node {self.here['host']})", hint=error.hint
                        )
                    result = False, error
                kept = pyarrow.array([pickle.dumps(result, protocol=5)], pyarrow.large_binary())
                yield pyarrow.table({"index": [index.as_py()], "result": kept})

    return MappedBatch


def _stream(
    ray: Any, data: Any, asked: RayData, worker: Callable[[T], R], tasks: Sequence[T]
) -> Generator[dict[str, Any], None, None]:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    node = ray.get_runtime_context().get_node_id()
    items = [{"index": index, "task": pickle.dumps(task)} for index, task in enumerate(tasks)]
    pool = asked.jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))
    mapped = data.from_items(items, override_num_blocks=min(len(items), BLOCKS)).map_batches(
        mapped_batch(),
        fn_constructor_args=(pickle.dumps(worker), versions_here(), node),
        batch_format="pyarrow",
        batch_size=None,
        concurrency=min(pool, len(items)),
        num_cpus=1,
        num_gpus=asked.gpus,
        runtime_env={"env_vars": single_thread()},
    )
    # Ray Data's thread that fetches ahead never ends where a stream is not read to its end: it is given nothing to do.
    for batch in mapped.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from batch.to_pylist()


def _await_end(threads: Iterable[threading.Thread]) -> None:
    """
    Wait for the threads that a stream began, but the one that was given nothing to do.

    Ray's library ends the whole process where a thread asks it for something while it is left, as those of a stream do
    that was not read to its end.
    """
    deadline = time.monotonic() + _PATIENCE
    for thread in threads:
        if thread.name != "Prefetcher":
            thread.join(max(0.0, deadline - time.monotonic()))


def _refuse(told: Exception | dict[str, Any]) -> None:
    """What a task raised, or the versions of a node where it was not tried."""
    if isinstance(told, Exception):
        raise told
    refuse_versions(told)


def _libraries() -> tuple[Any, Any]:
    try:
        import ray
        from ray import data
    except ImportError as error:
        raise MissingExtraError("ray", "ray", purpose="the engine 'ray' on rows") from error
    return ray, data
