"""Interrupts of the command line: one that comes twice at once is one, a later one is another."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from undertow.cli import terminal


def interrupt() -> None:
    """Ctrl-C, as this process gets it."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)


@pytest.fixture
def heard() -> Iterator[None]:
    """Interrupts are heard as in a terminal, also where the tests themselves run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_an_interrupt_that_comes_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrappers hand on what the whole group got: what ends by the first is not cut off; whoever means it is heard."""
    with terminal.interrupted_once():
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        interrupt()
        monkeypatch.setattr(terminal, "_ONE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_who_is_deaf_to_interrupts_stays_so() -> None:
    """A job in the background of a shell ignores them, and its handler comes back in any case."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with terminal.interrupted_once():
            interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
