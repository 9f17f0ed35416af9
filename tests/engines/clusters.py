"""A real cluster of Ray on this machine: a head, and nodes that come and go."""

from __future__ import annotations

import contextlib
import gc
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE = 600.0
"""Seconds for what takes a few on a machine that has nothing else to do: no test waits for so long but to fail."""

SMALL = {"object_store_memory": 100 << 20, "include_dashboard": False}


SLOW = {"health_check_timeout_ms": 120_000, "worker_register_timeout_seconds": 300}
"""A node that answers late is not lost, and a worker that begins late is waited for."""


@contextlib.contextmanager
def cluster(**head: Any) -> Iterator[Any]:
    """A cluster of one node with these resources, to which others are added; ended with the block."""
    import ray
    from ray.cluster_utils import Cluster

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {**SMALL, "num_cpus": 1, "dashboard_port": port, "_system_config": SLOW, **head}
    # Ray leaves a socket of its own open, which is noticed whenever it is collected.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        made = Cluster(initialize_head=True, head_node_args=given)
        gc.collect()
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def begun(folder: Path, number: int) -> list[str]:
    """A line for each time that a held task began: its process and node."""
    started = folder / f"started-{number}"
    # A line that is not ended is still being written.
    return started.read_text().split("\n")[:-1] if started.exists() else []


def two_nodes() -> Iterator[Any]:
    """A cluster of two nodes of one core each, for a fixture."""
    with cluster() as made:
        made.add_node(num_cpus=1, **SMALL)
        made.wait_for_nodes()
        yield made
