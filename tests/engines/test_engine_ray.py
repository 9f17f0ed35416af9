"""The Ray engine: against a stand-in of Ray's interface, and against Ray where it is installed."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.engines.tasks import Marker, Power
from undertow.engines.engine import Ray
from undertow.errors import MissingExtraError, UndertowError, UnknownNameError


class TaskError(Exception):
    """Ray's wrapper of what a task raised."""

    def __init__(self, cause: BaseException) -> None:
        """Wrap the exception."""
        super().__init__(str(cause))
        self.cause = cause


class Crashed(Exception):
    """Ray's report of a dead worker."""


@dataclass
class StandIn:
    """The part of Ray's interface that the engine uses; finishes the latest task first."""

    crash: bool = False
    most: int = 0
    running: int = 0
    up: bool = False
    cancelled: int = 0

    def is_initialized(self) -> bool:
        """Whether a cluster is connected."""
        return self.up

    def init(self, **options: object) -> None:
        """Start one."""
        self.up = True

    def shutdown(self) -> None:
        """Stop it."""
        self.up = False

    def put(self, value: object) -> object:
        """A reference, here the value itself."""
        return value

    def remote(self, **options: object) -> Callable[[Callable[..., object]], Any]:
        """A decorator that gives a function its `.remote`."""

        def decorate(function: Callable[..., object]) -> Any:
            def submit(*arguments: object) -> Callable[[], object]:
                self.running += 1
                self.most = max(self.most, self.running)
                return lambda: function(*arguments)

            return types.SimpleNamespace(remote=submit)

        return decorate

    def wait(self, references: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        """The last reference is finished."""
        return references[-num_returns:], references[:-num_returns]

    def get(self, reference: Callable[[], object]) -> object:
        """The result, or its wrapped exception."""
        self.running -= 1
        if self.crash:
            raise Crashed
        try:
            return reference()
        except UndertowError as error:
            raise TaskError(error) from error

    def cancel(self, reference: object, *, force: bool) -> None:
        """Count it."""
        self.cancelled += 1

    @property
    def exceptions(self) -> types.SimpleNamespace:
        """The module of exceptions."""
        return types.SimpleNamespace(
            RayTaskError=TaskError, WorkerCrashedError=Crashed, OutOfMemoryError=Crashed
        )


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A stand-in that `import ray` finds."""
    fake = StandIn()
    monkeypatch.setitem(sys.modules, "ray", fake)  # type: ignore[arg-type]
    return fake


def test_every_task_gives_its_result_with_few_in_flight(stand_in: StandIn) -> None:
    """
    All results arrive, at most `jobs` tasks run at a time, and a cluster we started is stopped.
    """
    results = dict(Ray(3).map(Power(2), range(10)))

    assert results == {n: n**2 for n in range(10)}
    assert stand_in.most == 3
    assert not stand_in.up


def test_a_connected_cluster_is_left_running(stand_in: StandIn) -> None:
    """The engine stops only what it started."""
    stand_in.up = True

    assert list(Ray(1).map(Power(2), [3])) == [(0, 9)]
    assert stand_in.up


def test_a_failed_task_cancels_the_rest_and_raises_the_original(
    stand_in: StandIn, tmp_path: Path
) -> None:
    """The wrapper that Ray puts around an exception is taken off."""
    with pytest.raises(UnknownNameError, match="owl"):
        list(Ray(3).map(Marker(tmp_path), [1, 2, 0]))

    assert stand_in.cancelled == 2


def test_a_crashed_worker_is_an_error_with_a_hint(stand_in: StandIn) -> None:
    """A worker that died hints at memory."""
    stand_in.crash = True

    with pytest.raises(UndertowError) as caught:
        list(Ray(1).map(Power(2), [1]))

    assert "--jobs" in caught.value.hint


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to install it."""
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(MissingExtraError) as caught:
        list(Ray(1).map(Power(2), [1]))

    assert caught.value.hint == "pip install 'undertow[ray]'"


def test_real_ray_gives_every_result_and_the_original_error(tmp_path: Path) -> None:
    """The same holds for Ray itself."""
    pytest.importorskip("ray")

    assert dict(Ray(2).map(Power(2), range(5))) == {n: n**2 for n in range(5)}
    with pytest.raises(UnknownNameError, match="owl"):
        list(Ray(2).map(Marker(tmp_path), [0]))
