"""The engine that works on a Ray cluster, or on this machine through Ray."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from undertow.engines.engine import R, T, single_thread
from undertow.errors import MissingExtraError, UndertowError


@dataclass(frozen=True, slots=True)
class Ray:
    """Ray tasks of one CPU each; uses the cluster that is connected, or starts a local one."""

    jobs: int
    """Most tasks in flight."""

    def map(self, worker: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """
        (index, result) as the tasks finish.

        Raises:
            MissingExtraError: if Ray is not installed.
            UndertowError: what a task raised, or that its process died.
        """
        ray = _ray()
        started = not ray.is_initialized()
        if started:
            ray.init(num_cpus=self.jobs, include_dashboard=False, log_to_driver=False)
        running: dict[Any, int] = {}
        try:
            remote = ray.remote(
                num_cpus=1, max_retries=0, runtime_env={"env_vars": single_thread()}
            )(_call)
            shared = ray.put(worker)
            waiting = iter(enumerate(tasks))
            while True:
                while len(running) < self.jobs and (entry := next(waiting, None)) is not None:
                    running[remote.remote(shared, entry[1])] = entry[0]
                if not running:
                    return
                done, _ = ray.wait(list(running), num_returns=1)
                yield running.pop(done[0]), _result(ray, done[0])
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
            if started:
                ray.shutdown()


def _call(worker: Callable[[T], R], task: T) -> R:
    return worker(task)


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        # Ray raises a class made up on the spot; the command line knows the original one.
        raise error.cause from error
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        raise UndertowError(
            "a Ray worker was killed, most likely because memory ran out",
            hint="run the same command again with a lower --jobs",
        ) from error


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtraError("ray", "ray", purpose="the engine 'ray'") from error
