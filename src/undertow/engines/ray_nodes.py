"""Ray itself: how a cluster is joined, and how what jobs tell comes back; what an actor does there is in `ray_post`."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from undertow.engines.engine import environment, usable_cores
from undertow.engines.ray_versions import PAGE, refuse_other_nodes
from undertow.engines.work_progress import Listener
from undertow.errors import InputError, MissingExtraError

ANSWER = 5.0
"""Seconds in which the head of a cluster answers a connection, and in which it is heard what jobs told."""


def ear_of_jobs() -> type:
    """The class of the actor that jobs tell how far they are."""

    class Ear:
        """Keeps what jobs tell until the driver asks for it."""

        def __init__(self) -> None:
            import asyncio

            self.told: Any = asyncio.Queue(10_000)

        async def hear(self, told: Any) -> None:
            """Keep it; what nobody takes for so long is not missed."""
            if not self.told.full():
                self.told.put_nowait(told)

        async def heard(self) -> list[Any]:
            """All that was told, once something is."""
            return [await self.told.get(), *await self.left()]

        async def left(self) -> list[Any]:
            """All that was told and nobody took yet."""
            return [self.told.get_nowait() for _ in range(self.told.qsize())]

    return Ear


def beside_driver(ray: Any, kind: type) -> Any:
    """An actor of this class on the driver's node, which takes no core of it and is lost with the driver alone."""
    where = importlib.import_module("ray.util.scheduling_strategies")
    node = ray.get_runtime_context().get_node_id()
    here = where.NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(kind).options(num_cpus=0, scheduling_strategy=here).remote()


def ray_library() -> Any:
    """
    Ray itself.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtraError("ray", "ray", purpose="the engine 'ray'") from error


class Hearing:
    """What jobs tell: an actor beside the driver keeps it, and the next of it is always asked for."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self.ear = beside_driver(ray, ear_of_jobs())
        self.news = self.ear.heard.remote()

    def tell(self, listener: Listener, *, last: bool = False) -> None:
        """Hand on what was told; what cannot be had any more is old by then."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            news = self.ear.left.remote() if last else self.news
            for told in self._ray.get(news, timeout=ANSWER):
                listener(told)
        if not last:
            self.news = self.ear.heard.remote()


def connect(ray: Any, address: str | None, jobs: int | None) -> Callable[[], None]:
    """
    Join the cluster at an address, or begin a local one with a core for each job where there is none.

    What is given back leaves the cluster, and ends it and removes its files if it began here.

    Raises:
        InputError: no cluster is there, or one of other versions.
    """
    if address is None and os.environ.get("RAY_ADDRESS", "local") != "local":
        with _told_of_the_variable():
            return connect(ray, os.environ["RAY_ADDRESS"], jobs)
    if address and address != "auto":
        refuse_no_answer(address)
    session = None if address else _held_session()
    leave = partial(_left, ray, session)
    try:
        _connected(ray, address, jobs, session and session[0])
        if address:
            refuse_other_nodes(ray)
    except BaseException:
        leave()
        raise
    return leave


@contextlib.contextmanager
def _told_of_the_variable() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        error.say_more(" (the address is that of the variable RAY_ADDRESS)")
        raise


def _connected(ray: Any, address: str | None, jobs: int | None, folder: Path | None) -> None:
    quiet = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    # One try of 40 s, not twenty.
    bounded = {"RAY_gcs_server_port_wait_time_s": "1"} if address else {}
    with environment(quiet | bounded):
        try:
            if address:
                ray.init(address=address, log_to_driver=False, logging_level="ERROR")
            else:
                ray.init(
                    "local",
                    num_cpus=jobs or usable_cores(),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="ERROR",
                    _temp_dir=str(folder),
                )
        except (ConnectionError, ValueError, ray.exceptions.RayError) as error:
            # Ray speaks of options that are not ours.
            absent = address == "auto" and "any running Ray instance" in str(error)
            why = "this machine is a node of none" if absent else first_line(error)
            # Somebody listens there, so that this is what stands in the way most often.
            hint = _TOKEN if "Failed to connect to Ray cluster" in why else _START
            raise _no_cluster(address or "local", why, hint) from error
        except RuntimeError as error:
            if "Version mismatch" not in str(error):
                raise _no_cluster(address or "local", first_line(error)) from error
            words = " ".join(str(error).split())
            raise InputError(
                f"the Ray cluster at '{address}' has other versions: {words}",
                hint=f"install the same Ray and Python here and on every node; {PAGE}",
            ) from error


def _left(ray: Any, session: tuple[Path, int] | None) -> None:
    ray.shutdown()
    if session is not None:
        # Held until it is gone, so that nobody else takes it for one that was left behind.
        shutil.rmtree(session[0], ignore_errors=True)
        os.close(session[1])


_SESSION = "undertow-ray-"
_SHORT = 20
"""Characters of a folder in which the names of Ray's sockets are not too long for the system."""


def _sessions_place() -> Path:
    given = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    return Path(given if len(given) <= _SHORT else "/tmp")


def remove_left_sessions() -> None:
    """
    Remove the files of local clusters of commands that were killed, which nobody holds any more.

    Ray leaves its own for ever; and a command that finds all its work done begins no cluster that would take them away.
    """
    for left in _sessions_place().glob(f"{_SESSION}*"):
        with contextlib.suppress(OSError):
            handle = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)


def _held_session() -> tuple[Path, int]:
    """
    A folder for the files of a local cluster, and the handle by which this process holds it; those left behind are removed.

    Raises:
        InputError: it cannot be made.
    """
    remove_left_sessions()
    top = _sessions_place()
    try:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=_SESSION, dir=top))
            # Another command may take it for one that nobody holds, before it is held.
            with contextlib.suppress(FileNotFoundError):
                handle = os.open(folder, os.O_RDONLY)
                fcntl.flock(handle, fcntl.LOCK_EX)
                if folder.exists():
                    return folder, handle
                os.close(handle)
    except OSError as error:
        raise InputError(
            f"cannot make a folder in '{top}' for Ray: {error.strerror}",
            hint="free some space there, or name another short path in RAY_TMPDIR",
        ) from error


def refuse_no_answer(address: str) -> None:
    """
    Ray itself asks for minutes where nobody listens.

    Raises:
        InputError: nobody does, or it is no address.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(
            f"'{address}' is no address of a Ray cluster; allowed: HOST:PORT, or auto",
            hint="--engine ray://HOST:6379, as `ray start --head` prints it",
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER):
            pass
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(getattr(error, "strerror", "") or error)) from error


_START = f"ray start --head on the first node prints the address (its port is 6379, not the client's 10001); {PAGE}"
_TOKEN = (
    "where its head asks for a token (since 2.59), set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what "
    f"`ray get-auth-token` prints there; else, {_START}"
)


def _no_cluster(address: str, why: str, hint: str = _START) -> InputError:
    return InputError(f"no Ray cluster answers at '{address}': {why}", hint=hint)


def first_line(error: Exception) -> str:
    """What an error of Ray says first; tracebacks follow it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
