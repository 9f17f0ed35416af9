"""
Versions on a cluster of Ray: what each node has of Python and undertow, and the refusal of one that has others.

Nodes are asked when a cluster is joined, so that nothing long is done before they are refused; one that comes later is
asked by its first job.
"""

from __future__ import annotations

import contextlib
import importlib
import platform
from collections.abc import Callable
from typing import Any

from undertow import __version__
from undertow.errors import InputError

PAGE = "what a cluster needs: undertow explain cluster"

_PATIENCE = 30.0
"""Seconds in which the nodes answer that are asked at once; one that does not is asked by its first job."""


def versions_here() -> tuple[str, str]:
    """Of Python and undertow on this machine, which those of every node must equal."""
    return platform.python_version(), __version__


def teller() -> Callable[[], dict[str, Any]]:
    """A function that says what a node has: `Python`, `undertow` and its `host`."""

    # A function within a function travels as it is: a node with another undertow, or none, can say so.
    def told() -> dict[str, Any]:
        import platform
        import socket
        from importlib.util import find_spec

        version = "(none)"
        try:
            from undertow import __version__ as version

            there = find_spec("undertow.engines.ray_data") is not None
        except ImportError:
            there = False
        if not there:
            version += " without this engine"
        return {
            "Python": platform.python_version(),
            "undertow": version,
            "host": socket.gethostname(),
        }

    return told


def refuse_other_nodes(ray: Any) -> None:
    """
    Ask every node of the cluster what it has, all at once; a node that is lost meanwhile, or silent, is passed over.

    Raises:
        InputError: a node has other versions.
    """
    where = importlib.import_module("ray.util.scheduling_strategies")
    ask = ray.remote(teller())
    asked = []
    for node in ray.nodes():
        if node["Alive"]:
            there = where.NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
            asked.append(ask.options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote())
    answered, silent = ray.wait(asked, num_returns=len(asked), timeout=_PATIENCE)
    for reference in silent:
        ray.cancel(reference, force=True)
    for reference in answered:
        with contextlib.suppress(ray.exceptions.RayError):
            refuse_versions(ray.get(reference))


def refuse_versions(there: dict[str, Any]) -> None:
    """
    Refuse a node with another Python or undertow than this machine's; it says what it has, and its `host`.

    Raises:
        InputError: naming the node and both versions.
    """
    for name, version in zip(("Python", "undertow"), versions_here(), strict=True):
        if there[name] != version:
            raise InputError(
                f"the Ray cluster's node {there['host']} has {name} {there[name]}, and this machine has {name} {version}",
                hint=f"install the same version on every node, then start its Ray again; {PAGE}",
            )
