"""What an actor of Ray does on its node: relative names mean what they mean for the driver, and errors name the node."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import tasks
from tests.engines.clusters import SMALL, cluster
from undertow.engines.ray_cluster import Ray
from undertow.engines.ray_data import RayData
from undertow.engines.ray_post import on_node
from undertow.errors import DataError, ModelError, UndertowError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def other_node() -> Iterator[Any]:
    """A cluster whose only place for jobs is another node than the driver's."""
    with cluster(num_cpus=0) as made:
        # Ray hands on the directory of the command, which is another one in a test.
        seen = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        made.add_node(num_cpus=1, env_vars={"PYTHONPATH": seen}, **SMALL)
        made.wait_for_nodes()
        yield made


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_relative_names_mean_on_a_node_what_they_mean_here(
    other_node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node's Ray was started in another directory than the command; both engines write where the command stands."""
    monkeypatch.chdir(tmp_path)
    for folder in ("jobs", "rows"):
        (tmp_path / folder).mkdir()
    with Ray(address=other_node.address) as engine:
        assert dict(engine.map(tasks.Marker(Path("jobs")), [1])) == {0: 1}
    assert dict(RayData(1, other_node.address).map(tasks.Marker(Path("rows")), [1])) == {0: 1}

    assert (tmp_path / "jobs" / "finished-1").exists()
    assert (tmp_path / "rows" / "finished-1").exists()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_library_that_a_node_lacks_is_named_with_it(other_node: Any) -> None:
    """The callable cannot be unpacked there: one line says which library, and where."""
    missing = r"the library 'no_such_library' is missing on node \S+"
    with Ray(address=other_node.address) as engine:
        with pytest.raises(UndertowError, match=missing) as caught:
            list(engine.map(tasks.Unpackable(), [1]))
        with pytest.raises(UndertowError, match=missing):
            list(RayData(1, other_node.address).map(tasks.Unpackable(), [1]))

    assert "install there what is installed here" in caught.value.hint


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_the_system_of_a_node_refuses_is_told_with_its_name(other_node: Any) -> None:
    """A disk that is full there is not one that is full here."""
    with pytest.raises(UndertowError, match=r"No space left on device \(on node \S+\)") as caught:
        list(RayData(1, other_node.address).map(tasks.FullDevice(), [1]))

    assert "mend that there" in caught.value.hint


def full() -> OSError:
    """A full disk, as the system says it."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/x")


def damaged() -> DataError:
    """A file that a reader could not open."""
    error = DataError("cannot read 'x'")
    error.__cause__ = full()
    return error


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ModelError("no such model"), "no such model (on node far)"),
        (DataError("row 3"), "row 3"),
        (damaged(), "cannot read 'x' (on node far)"),
        (full(), "No space left on device: '/tmp/x' (on node far)"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "the library 'torch' is missing on node far",
        ),
    ],
)
def test_what_hangs_on_a_node_names_it(raised: Exception, told: str) -> None:
    """Files of models, the system and libraries; rows are the same everywhere, and the driver's own node is not named."""
    with pytest.raises(UndertowError) as caught, on_node("far", of=ModelError):
        raise raised

    assert caught.value.message == told


@pytest.mark.parametrize("raised", [full(), ModuleNotFoundError("no", name="x"), ModelError("m")])
def test_what_goes_wrong_beside_the_driver_stays_as_it_is(raised: Exception) -> None:
    """The command line has its own words for it."""
    with pytest.raises(type(raised)) as caught, on_node(""):
        raise raised

    assert caught.value is raised
    assert "on node" not in str(raised)
