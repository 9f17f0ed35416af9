"""Sockets that are refused and remembered: what opens one is found, whoever catches the error."""

from __future__ import annotations

import os
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
    plugged = isinstance(arguments[0], socket.socket)
    if plugged and arguments[0].family == socket.AF_UNIX:
        return  # between processes of this machine
    _ASKED.append(f"{event} {arguments[1:] if plugged else arguments}")
    _note(_ASKED[-1])
    raise ConnectionRefusedError(f"no network here: {_ASKED[-1]}")


def _note(what: str) -> None:
    """Where a file is named by $ASKED, a line for whoever began this process."""
    if path := os.environ.get("ASKED"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {what}\n")


def refuse_from_the_start() -> None:
    """
    Refuse sockets in this process until it ends, and note in the file $ASKED that it began and whatever it tries.

    For a `sitecustomize.py`, by which every process of a command has it, also those that others begin.
    """
    _REFUSING.append(True)
    sys.addaudithook(_watch)
    _note("began")


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
