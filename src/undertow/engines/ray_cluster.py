"""
Ray: jobs spread over the nodes of a cluster, each on an actor with its share of cores, GPUs and memory.

An actor holds the callable, so that what it caches (a model) is loaded once. What a lost node or worker had in hand is
done again elsewhere; what a job itself raises ends the work, as in the other engines. What runs on a node stands in
`ray_post`.
"""

from __future__ import annotations

import contextlib
import pickle
import re
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from undertow.engines.engine import Engine, single_thread
from undertow.engines.ray_nodes import (
    Hearing,
    connect,
    first_line,
    ray_library,
    remove_left_sessions,
)
from undertow.engines.ray_post import Driver, FolderWorker, packed, place, unpack
from undertow.engines.ray_versions import PAGE, refuse_versions, versions_here
from undertow.engines.work_progress import current_listener, notice
from undertow.errors import InputError, UndertowError

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 3
"""Times that a job is done again because its node or worker was lost."""

_UNHEARD = 60.0
"""Seconds without any news after which the cluster is looked at: it may have lost what would ever have room."""

_MARK = ".seen-"


@dataclass
class Ray(Engine):
    """A cluster; the one that runs here, or a local one of its own, where no address is given."""

    jobs: int | None = None
    """Most jobs at a time; as many as the cluster has room for where None."""
    address: str | None = None
    """`HOST:PORT` of its head, or `auto`."""
    gpus: float | None = None
    """Of each job; 1, if the cluster has any, where None."""
    memory: float | None = None
    """GB that a job reserves; nothing is reserved where None."""
    _free: list[Any] = field(default_factory=list, repr=False, compare=False)
    """Actors that wait for the next work, with all that they have imported."""
    _hearing: Hearing | None = field(default=None, repr=False, compare=False)
    _leave: Callable[[], None] | None = field(default=None, repr=False, compare=False)
    """Ends what began here; None where the cluster was joined before."""

    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """
        (index, result) as the tasks finish; what a lost node or worker had in hand is done again, RETRIES times at most.

        Raises:
            MissingExtraError: Ray is not installed.
            InputError: there is no cluster at the address, it has other versions, or no node has room for a job.
            UndertowError: what a task raised, that a task was lost too often, or that Ray has no room for what travels.
        """
        if not tasks:
            # The last command that is typed here, perhaps, behind one that was killed when all was done.
            _tidied(worker)
            return
        ray, hearing = self._connected()
        with full_storage_told(ray):
            spare, self._free = self._free, []
            work = _Work(ray, self, hearing, worker, tasks, spare)
            try:
                yield from work.results()
                self._free = [*work.idle, *work.spare]
                work.idle, work.spare = [], []
            finally:
                work.stop()

    def join(self) -> None:
        """
        Join the cluster, or start it.

        Raises:
            MissingExtraError, InputError: as `map`.
        """
        ray, _ = self._connected()
        refuse_no_room(ray, self.demand(ray))

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here; what a killed command left of its own goes in any case."""
        if self._hearing is None:
            remove_left_sessions()
            return
        ray = ray_library()
        for actor in (*self._free, self._hearing.ear):
            ray.kill(actor)
        self._free, self._hearing = [], None
        if self._leave is not None:
            self._leave()
            self._leave = None

    def _connected(self) -> tuple[Any, Hearing]:
        ray = ray_library()
        if not ray.is_initialized():
            self._leave = connect(ray, self.address, self.jobs)
        if self._hearing is None:
            self._hearing = Hearing(ray)
        return ray, self._hearing

    def demand(self, ray: Any) -> dict[str, float]:
        """What a job asks for, by Ray's names of resources."""
        return demanded(ray, self.gpus, self.memory)


def demanded(ray: Any, gpus: float | None, memory: float | None) -> dict[str, float]:
    """What a job with one core asks for, by Ray's names of resources; a GPU, if the cluster has any, where `gpus` is None."""
    if gpus is None:
        gpus = float(any(node.get("GPU", 0) >= 1 for node in nodes_of(ray)))
    wanted = {"CPU": 1.0, "GPU": gpus, "memory": 1e9 * (memory or 0)}
    return {name: amount for name, amount in wanted.items() if amount}


def room(nodes: Sequence[dict[str, float]], demand: dict[str, float]) -> int:
    """
    Jobs of this demand that nodes with these resources hold together.

    >>> room([{"CPU": 4, "GPU": 1}, {"CPU": 4}], {"CPU": 1, "GPU": 0.25})
    4
    """
    return sum(
        min(int(node.get(name, 0) / amount + 1e-9) for name, amount in demand.items())
        for node in nodes
    )


def nodes_of(ray: Any) -> list[dict[str, float]]:
    """The resources of each node that is there."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def refuse_no_room(ray: Any, demand: dict[str, float]) -> None:
    """
    Refuse a job that would wait for ever.

    Raises:
        InputError: with what it asks for, and what the nodes have.
    """
    nodes = nodes_of(ray)
    if room(nodes, demand):
        return
    asked = ", ".join(f"{name} {amount:g}" for name, amount in demand.items())
    have = "; ".join(
        ", ".join(f"{name} {node.get(name, 0):g}" for name in demand) for node in nodes
    )
    raise InputError(
        f"no node of the Ray cluster has room for a job ({asked}); its nodes have: {have}",
        hint="lower --gpus-per-job or --memory-per-job, or start a node that has it",
    )


@dataclass
class _Work:
    """One callable on its tasks: which wait, which run on which actor, and which were lost how often."""

    ray: Any
    engine: Ray
    hearing: Hearing
    worker: Any
    tasks: Sequence[Any]
    spare: list[Any]
    """Actors from before, which do not know the callable yet."""

    def __post_init__(self) -> None:
        ray = self.ray
        self.demand = self.engine.demand(ray)
        self.waiting = deque(range(len(self.tasks)))
        self.lost: Counter[int] = Counter()
        self.failed_starts = 0
        self.starting: dict[Any, Any] = {}
        self.busy: dict[Any, tuple[Any, int]] = {}
        self.away: dict[Any, bool] = {}
        """Of actors that know the callable: whether they do not see its directory."""
        self.sent: dict[str, Any] = {}
        self.folders = self.worker if isinstance(self.worker, FolderWorker) else None
        self.mark = _marked(self.folders.directory) if self.folders else None
        # In a list, Ray hands on the reference: the callable is fetched where the versions are known to fit, and unpacked
        # where what is missing for it has words.
        told = self.hearing.ear, str(self.mark or ""), asdict(Driver.here()), versions_here()
        self.news = [[ray.put(pickle.dumps(self.worker))], *told]
        self.idle: list[Any] = []

    def results(self) -> Iterator[tuple[int, Any]]:
        """(index, result) of every task."""
        refuse_no_room(self.ray, self.demand)
        listener = current_listener()
        while self.waiting or self.busy:
            self._hire()
            while self.idle and self.waiting:
                self._begin(self.idle.pop(), self.waiting.popleft())
            refs = [self.hearing.news, *self.starting, *self.busy]
            ready, _ = self.ray.wait(refs, num_returns=1, timeout=_UNHEARD)
            if not ready and not self.busy:
                refuse_no_room(self.ray, self.demand)
            for ref in ready:
                if ref == self.hearing.news:
                    self.hearing.tell(listener)
                elif ref in self.starting:
                    self._started(ref)
                else:
                    yield from self._ended(ref)
        self.hearing.tell(listener, last=True)

    def stop(self) -> None:
        """End what is still at work, and forget what was made for it."""
        actors = [*self.starting.values(), *self.spare, *self.idle]
        for actor in (*actors, *(actor for actor, _ in self.busy.values())):
            self.ray.kill(actor)
        if self.mark is not None:
            self.mark.unlink(missing_ok=True)

    def _hire(self) -> None:
        """As many actors as there is work and room for; those that are left from before come first."""
        most = self.engine.jobs or max(1, room(nodes_of(self.ray), self.demand))
        there = len(self.starting) + len(self.idle) + len(self.busy)
        for _ in range(min(most, len(self.waiting) + len(self.busy)) - there):
            actor = self.spare.pop() if self.spare else _hired(self.ray, self.demand)
            self.starting[actor.learn.remote(*self.news)] = actor

    def _started(self, ref: Any) -> None:
        try:
            there = self.ray.get(ref)
            refuse_versions(there)
        except self.ray.exceptions.RayTaskError as error:
            raise _cause(error) from error
        except losses(self.ray) as error:
            del self.starting[ref]
            self.failed_starts += 1
            if self.failed_starts > RETRIES:
                raise ended_in_start(self.failed_starts, f": {first_line(error)}") from error
            return
        actor = self.starting.pop(ref)
        self.failed_starts = 0
        self.away[actor] = there["away"]
        self.idle.append(actor)

    def _begin(self, actor: Any, index: int) -> None:
        task, inputs = self.tasks[index], []
        if self.folders is not None and self.away[actor]:
            inputs = [(name, self._packed(name)) for name in self.folders.reads(task)]
        self.busy[actor.work.remote(task, inputs)] = actor, index

    def _packed(self, name: str) -> Any:
        """A folder as Ray's object, made once."""
        assert self.folders is not None
        if name not in self.sent:
            self.sent[name] = self.ray.put(packed(self.folders.directory / name))
        return self.sent[name]

    def _ended(self, ref: Any) -> Iterator[tuple[int, Any]]:
        actor, index = self.busy.pop(ref)
        try:
            result, made = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            # Ray raises a class made up on the spot; the command line knows the original one.
            self.idle.append(actor)
            raise _cause(error) from error
        except losses(self.ray) as error:
            self.ray.kill(actor)
            self._again(index, error)
            return
        if made is not None and self.folders is not None:
            unpack(made, self.folders.directory / self.folders.makes(self.tasks[index]))
        self.idle.append(actor)
        yield index, result

    def _again(self, index: int, error: Exception) -> None:
        self.lost[index] += 1
        task = getattr(self.tasks[index], "name", f"task {index + 1}")
        if self.lost[index] > RETRIES:
            raise lost_too_often(
                task,
                self.lost[index],
                f", the last time: {first_line(error)}",
                "give each job more of a node: --memory-per-job GB, or a lower --jobs",
            ) from error
        notice(
            f"the worker or node that '{task}' ran on was lost ({first_line(error)}): it is done again"
        )
        self.waiting.appendleft(index)


def lost_too_often(task: str, times: int, why: str, more: str) -> UndertowError:
    """The error where a task ended whoever worked on it so often."""
    return UndertowError(
        f"'{task}' was lost {times} times with its worker or node{why}",
        hint=f"where memory runs out, {more}",
    )


def ended_in_start(times: int, why: str) -> UndertowError:
    """The error where so many workers, one after the other, came to no task at all."""
    return UndertowError(
        f"{times} workers of the Ray cluster ended before they began{why}",
        hint=f"look at the cluster's logs (ray status), or lower --jobs; {PAGE}",
    )


def losses(ray: Any) -> tuple[type[Exception], ...]:
    """What Ray raises where a worker, a node, or a result that lay on one is lost."""
    known = ray.exceptions
    return (
        known.RayActorError,
        known.WorkerCrashedError,
        known.NodeDiedError,
        known.OutOfMemoryError,
        known.ObjectLostError,
    )


@contextlib.contextmanager
def full_storage_told(ray: Any) -> Iterator[None]:
    """
    Within the block, Ray's own full storage is told in our words.

    Raises:
        UndertowError: an object found no room in a node's store, nor on the disk behind it.
    """
    try:
        yield
    except (ray.exceptions.ObjectStoreFullError, ray.exceptions.OutOfDiskError) as error:
        # Where a worker met it, Ray's traceback says on which node.
        met = re.search(r"\bip=([^,)\s]+)", f"{error} {error.__cause__}")
        where = f"on the Ray node {met.group(1)}" if met else "on this machine"
        raise UndertowError(
            f"no space left {where}: neither Ray's object store nor the disk behind it takes what jobs send one another",
            hint="free some space where Ray has its files there (RAY_TMPDIR, or else /tmp), or give it more memory: "
            "ray start --object-store-memory BYTES",
        ) from error


def _cause(error: Any) -> Exception:
    if isinstance(error.cause, Exception):
        return error.cause
    return UndertowError(f"a job failed on the Ray cluster: {first_line(error)}")


def _hired(ray: Any, demand: dict[str, float]) -> Any:
    """A new actor with its share of a node; it waits in the cluster until there is one."""
    return (
        ray.remote(place())
        .options(
            num_cpus=demand["CPU"],
            num_gpus=demand.get("GPU", 0),
            memory=demand.get("memory"),
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": variables_of(demand)},
        )
        .remote()
    )


def variables_of(demand: dict[str, float]) -> dict[str, str]:
    """The environment of a worker with such a share of a node: one thread, and no GPU to be seen but its own."""
    return single_thread() | ({} if demand.get("GPU") else {"CUDA_VISIBLE_DEVICES": ""})


def _marked(directory: Path) -> Path:
    """A file by which a node knows whether it sees the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    _unmark(directory)
    mark = directory / f"{_MARK}{uuid.uuid4().hex}"
    mark.touch()
    return mark


def _tidied(worker: Any) -> None:
    if isinstance(worker, FolderWorker):
        _unmark(worker.directory)


def _unmark(directory: Path) -> None:
    """Remove what commands that were killed left of such files."""
    for old in directory.glob(f"{_MARK}*"):
        old.unlink(missing_ok=True)
