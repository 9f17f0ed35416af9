"""Versions on a Ray cluster: a node that has others is refused when the cluster is joined, and when it comes later."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import pytest

from tests.engines import clusters, tasks
from tests.engines.clusters import SMALL, cluster
from undertow import __version__
from undertow.engines import ray_versions
from undertow.engines.ray_cluster import Ray
from undertow.engines.ray_data import RayData
from undertow.engines.ray_versions import refuse_versions, teller, versions_here
from undertow.errors import InputError

long = pytest.mark.long

two_nodes = pytest.fixture(scope="module")(clusters.two_nodes)


def other_versions(folder: Path, name: str) -> tuple[str, str]:
    """A path by which a node has another version of one of them, and what is told of it."""
    here = {"undertow": __version__, "Python": platform.python_version()}[name]
    told = rf"node \S+ has {name} 0\.0\.1.*, and this machine has {name} {re.escape(here)}"
    if name == "Python":
        folder.mkdir()
        text = 'import platform\nplatform.python_version = lambda: "0.0.1"\n'
        (folder / "sitecustomize.py").write_text(text)
        return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]), told
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text('__version__ = "0.0.1"\n')
    return str(folder), told


@pytest.mark.parametrize("name", ["undertow", "Python"])
def test_other_versions_on_a_node_are_refused_with_both(name: str) -> None:
    """The error names the node, its version and the driver's."""
    here = {"undertow": __version__, "Python": platform.python_version(), "host": "far"}
    refuse_versions(here)
    with pytest.raises(InputError, match=f"node far has {name} 0.0.1, and .* {name} {here[name]}"):
        refuse_versions(here | {name: "0.0.1"})


def test_what_a_node_tells_is_what_is_here() -> None:
    """The function that travels needs nothing but what the node has, and says its Python, undertow and name."""
    told = teller()()

    assert (told["Python"], told["undertow"]) == versions_here()
    assert told["host"] == platform.node()


@long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["undertow", "Python"])
def test_a_node_with_other_versions_is_refused(name: str, tmp_path: Path) -> None:
    """
    A node whose Python, or what that imports, is another: both versions are named, and no job runs there.

    Where it is there already, nobody joins its cluster; where it comes later, its first job says so.
    """
    path, told = other_versions(tmp_path / "other", name)
    with cluster(num_cpus=0) as made:
        with Ray(jobs=1, address=made.address) as engine:
            engine._connected()
            made.add_node(num_cpus=1, env_vars={"PYTHONPATH": path}, **SMALL)
            made.wait_for_nodes()
            with pytest.raises(InputError, match=told):
                list(engine.map(tasks.Marker(tmp_path), [1]))
            with pytest.raises(InputError, match=told):
                list(RayData(1, made.address).map(tasks.Marker(tmp_path), [1]))
        with pytest.raises(InputError, match=told):
            Ray(address=made.address).join()
        with pytest.raises(InputError, match=told):
            list(RayData(1, made.address).map(tasks.Marker(tmp_path), [1]))

    assert list(tmp_path.glob("started-*")) == []


@long
def test_a_cluster_is_joined_by_the_versions_of_all_its_nodes(
    two_nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What each node says of itself is compared with the driver's, before any job."""
    with Ray(address=two_nodes.address) as engine:
        engine.join()
    monkeypatch.setattr(ray_versions, "__version__", "9.9.9")
    with pytest.raises(InputError, match=r"and this machine has undertow 9\.9\.9"):
        Ray(address=two_nodes.address).join()


@long
def test_a_cluster_of_another_python_is_refused_by_both_versions(
    two_nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that is not of the Python that the cluster was started with does not join it."""
    import ray

    monkeypatch.setattr(
        ray._private.utils, "compute_version_info", lambda: (ray.__version__, "3.9.1")
    )
    here = re.escape(platform.python_version())
    with pytest.raises(
        InputError, match=rf"has other versions: .* Python: {here} .* Python: 3\.9\.1"
    ):
        Ray(address=two_nodes.address).join()
