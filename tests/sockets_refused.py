"""Sockets that are refused and remembered: what opens one is found, whoever catches the error."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ASKED: list[str] = []
_REFUSING: list[bool] = []

EVENTS = (
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.getaddrinfo",
    "socket.gethostbyname",
)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _REFUSING or event not in EVENTS:
        return
    if isinstance(arguments[0], socket.socket) and arguments[0].family == socket.AF_UNIX:
        return  # between processes of this machine
    _ASKED.append(f"{event} {arguments[1:] or arguments}")
    raise ConnectionRefusedError(f"no network here: {_ASKED[-1]}")


@contextmanager
def no_network() -> Iterator[list[str]]:
    """
    Nothing in this process reaches an address, not even of this machine; gives the list of what tried to.

    An audit hook sees every socket, also of modules that were imported before, and cannot be taken away again.
    """
    if not hasattr(sys, "_sockets_watched"):
        sys.addaudithook(_watch)
        sys._sockets_watched = True  # type: ignore[attr-defined]
    _ASKED.clear()
    _REFUSING.append(True)
    try:
        yield _ASKED
    finally:
        _REFUSING.pop()
