"""
Ray Data: the same callable, mapped over a stream of parts of a dataset by a pool of actors.

What flows is which part to read and what came of it, not the rows: a part is read where it is worked on. Ray Data hands
out no more parts than its actors take while results wait to be fetched (back-pressure), does again what a lost worker or
node had in hand, and gives results as they finish; who puts them together keeps to the order of the parts. It would repeat
a part without end whose every worker is lost: what was begun is counted beside the driver, and no part more than RETRIES
times again; so are the starts of an actor.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from undertow.engines import choose, usable_cores
from undertow.engines.engine import environment
from undertow.engines.ray_cluster import (
    RETRIES,
    Ray,
    demanded,
    ended_in_start,
    full_storage_told,
    losses,
    lost_too_often,
    nodes_of,
    refuse_no_room,
    room,
    variables_of,
)
from undertow.engines.ray_nodes import (
    beside_driver,
    connect,
    first_line,
    ray_library,
    refuse_no_answer,
)
from undertow.engines.ray_post import Driver, on_node
from undertow.engines.ray_versions import PAGE, refuse_versions, teller, versions_here
from undertow.errors import MissingExtraError, ModelError, UndertowError

T = TypeVar("T")
R = TypeVar("R")

BLOCKS = 4096
"""Blocks of tasks at most: each is looked after on its own."""


ENOUGH = 32 << 20
"""Bytes from which several processes read rows quicker than one."""

_UNWATCHED = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_USAGE_DISABLED": "1"}
"""Ray Data counts for its makers what it was used for, by a thread that goes on asking when the cluster is left."""

_LESS = "lower --jobs, or start nodes that have more of it"

_PATIENCE = 30.0
"""Seconds in which the threads of a stream end, once it is closed."""


def spread_of(
    name: str | None,
    jobs: int | None,
    size: int,
    gpus: float | None = 0.0,
    memory: float | None = None,
) -> Callable[[Callable[[T], R], Sequence[T]], Iterator[tuple[int, R]]] | None:
    """
    How reading so many bytes is spread by an engine of this name; None for a loop in this process.

    Without a name, over processes where that is quicker. `gpus` and `memory` (GB) are what each worker takes of a Ray node;
    1 GPU, if the cluster has any, where `gpus` is None.

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
    return RayData(jobs, engine.address, gpus, memory).map


@dataclass(frozen=True)
class RayData:
    """A pool of actors of one core each, on the cluster that is connected, or on a local one of its own."""

    jobs: int | None = None
    """Actors; as many as the cluster has room for if None."""
    address: str | None = None
    """Of the cluster's head."""
    gpus: float | None = 0.0
    """Of a node that an actor takes, or a share of one; 1, if the cluster has any, where None."""
    memory: float | None = None
    """GB that an actor reserves; nothing is reserved where None."""

    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """
        (index, result) as the tasks finish.

        Raises:
            MissingExtraError: Ray, or its part for data, is not installed.
            InputError: there is no cluster at the address, a node of it has another Python or undertow, or none has room.
            UndertowError: what a task raised, that a task was lost too often, or that Ray has no room for what travels.
            OSError: what the system refused a task.
        """
        if not tasks:
            return
        ray, data = _libraries()
        leave = None if ray.is_initialized() else connect(ray, self.address, self.jobs)
        others = set(threading.enumerate())
        tally = beside_driver(ray, tally_of_tasks())
        stream = _stream(ray, data, self, worker, tasks, tally)
        try:
            with environment(_UNWATCHED), contextlib.closing(stream), _losses_told(ray):
                for row in stream:
                    well, result = pickle.loads(row["result"])
                    if not well:
                        _refuse(result)
                    yield row["index"], result
        finally:
            ray.kill(tally)
            if leave is not None:
                _await_end(set(threading.enumerate()) - others)
                leave()


class RowPost:
    """A callable on an actor, and what it begins and ends told to a tally."""

    def __init__(self, worker: bytes, tally: Any, driver: Driver) -> None:
        self._packed, self._tally = worker, tally
        driver.share_directory()
        self._node = driver.other_node()
        self._worker: Callable[[Any], Any] | None = None

    def work(self, number: int, packed: bytes) -> tuple[bool, Any]:
        """The result of a task behind True, or behind False what it raised that has words for the user."""
        try:
            # The files of a model may be on some nodes only; rows are the same everywhere.
            with on_node(self._node, of=ModelError):
                return True, self._result(number, packed)
        except (OSError, UndertowError) as error:
            # What the system refuses (a full disk) has words for the user as well.
            return False, error
        finally:
            self._tally.ended.remote(number)

    def _result(self, number: int, packed: bytes) -> Any:
        lost = ray_library().get(self._tally.begun.remote(number))
        task = pickle.loads(packed)
        if lost > RETRIES:
            name = getattr(getattr(task, "part", task), "name", f"task {number + 1}")
            raise lost_too_often(name, lost, "", _LESS)
        # Read once, and not before a task was begun: an actor that is lost by it is not started again for ever.
        self._worker = self._worker or pickle.loads(self._packed)
        return self._worker(task)


def mapped_batch() -> type:
    """The class of actors that work on tasks."""
    told = teller()

    # Classes within a function travel as they are: a node with another undertow, or none, can say so.
    class MappedBatch:
        """What an actor does with a batch of tasks: each result is given as it is ready."""

        def __init__(
            self, worker: bytes, fitting: tuple[str, str], driver: dict[str, str], tally: Any
        ) -> None:
            """Once an actor, so that what the callable keeps is kept; it is read where the versions fit."""
            import socket

            import ray

            self.post: Any = None
            context = ray.get_runtime_context()
            # Ray starts an actor again for ever that ends while it starts, under its old name.
            ended = ray.get(tally.begun.remote(context.get_actor_id()))
            if ended > RETRIES:
                self.here: dict[str, Any] = {"ended": ended, "host": socket.gethostname()}
                return
            # Not before: what a node imports may be what ends it.
            self.here = told()
            if (self.here["Python"], self.here["undertow"]) == fitting:
                from undertow.engines.ray_data import RowPost
                from undertow.engines.ray_post import Driver

                self.post = RowPost(worker, tally, Driver(**driver))
            tally.ended.remote(context.get_actor_id())

        def __call__(self, batch: Any) -> Iterator[Any]:
            """One row a task: its index, and its result behind whether there is one; else what it raised, or what is here."""
            import pickle

            import pyarrow

            for index, task in zip(batch["index"].to_pylist(), batch["task"], strict=True):
                result: tuple[bool, Any] = False, self.here
                if self.post is not None:
                    result = self.post.work(index, task.as_py())
                kept = pyarrow.array([pickle.dumps(result, protocol=5)], pyarrow.large_binary())
                yield pyarrow.table({"index": [index], "result": kept})

    return MappedBatch


def tally_of_tasks() -> type:
    """The class of the actor that knows how often a task, or the start of an actor, was lost."""

    class Tally:
        """Counts what was begun and did not end."""

        def __init__(self) -> None:
            self.open: dict[int | str, int] = {}

        def begun(self, what: int | str) -> int:
            """Times that the task of this number, or the actor of this name, was begun before and did not end."""
            lost = self.open.get(what, 0)
            self.open[what] = lost + 1
            return lost

        def ended(self, what: int | str) -> None:
            """Whether or not it has a result, whoever did it lives."""
            self.open.pop(what, None)

    return Tally


@contextlib.contextmanager
def _losses_told(ray: Any) -> Iterator[None]:
    """
    Within the block, what Ray Data says is told in our words where it goes on no more.

    Raises:
        UndertowError: the cluster lost what cannot be had again, or has no room left for what travels.
    """
    try:
        with full_storage_told(ray):
            yield
    except losses(ray) as error:
        raise UndertowError(
            f"the Ray cluster lost a part of the rows that cannot be read again there: {first_line(error)}",
            hint=f"look at the cluster (ray status), then type the same command again; {PAGE}",
        ) from error


def _stream(
    ray: Any,
    data: Any,
    asked: RayData,
    worker: Callable[[T], R],
    tasks: Sequence[T],
    tally: Any,
) -> Generator[dict[str, Any], None, None]:
    # What goes wrong is raised, and is told once.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    demand = demanded(ray, asked.gpus, asked.memory)
    refuse_no_room(ray, demand)
    items = [{"index": index, "task": pickle.dumps(task)} for index, task in enumerate(tasks)]
    actors = min(asked.jobs or room(nodes_of(ray), demand), len(items))
    mapped = data.from_items(items, override_num_blocks=min(len(items), BLOCKS)).map_batches(
        mapped_batch(),
        fn_constructor_args=(pickle.dumps(worker), versions_here(), asdict(Driver.here()), tally),
        batch_format="pyarrow",
        # Without a size, GPUs are refused.
        batch_size=1,
        compute=data.ActorPoolStrategy(size=actors),
        num_cpus=demand["CPU"],
        num_gpus=demand.get("GPU"),
        memory=demand.get("memory"),
        runtime_env={"env_vars": variables_of(demand)},
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
    """What a task raised, or why it was not tried: the versions of a node, or a worker that did not start."""
    if isinstance(told, Exception):
        raise told
    if "ended" in told:
        raise ended_in_start(told["ended"], f" on node {told['host']}")
    refuse_versions(told)


def _libraries() -> tuple[Any, Any]:
    try:
        import ray
        from ray import data
    except ImportError as error:
        raise MissingExtraError("ray", "ray", purpose="the engine 'ray' on rows") from error
    return ray, data
