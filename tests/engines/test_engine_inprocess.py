"""The engine that works in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.tasks import Marker, Power
from undertow.engines.engine import InProcess
from undertow.errors import UnknownNameError


def test_results_come_in_order_and_one_at_a_time(tmp_path: Path) -> None:
    """A task runs only when its result is asked for."""
    results = InProcess().map(Marker(tmp_path), [1, 2])

    assert next(results) == (0, 1)
    assert not (tmp_path / "finished-2").exists()
    assert list(results) == [(1, 2)]


def test_a_failed_task_ends_the_work(tmp_path: Path) -> None:
    """The exception of a task reaches the caller, and later tasks never start."""
    with pytest.raises(UnknownNameError):
        list(InProcess().map(Marker(tmp_path), [0, 1]))

    assert list(tmp_path.iterdir()) == []


def test_nothing_to_do_gives_nothing() -> None:
    """No tasks, no results."""
    assert list(InProcess().map(Power(2), [])) == []
