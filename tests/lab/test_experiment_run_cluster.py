"""A run on a real cluster of Ray ends as one in this process does: with a node that goes, and a driver that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engines import clusters
from tests.engines.clusters import PATIENCE, SMALL, wait_until
from tests.golden.scrubbing import scrubbed
from tests.lab.conftest import files_of
from undertow.engines import ray_cluster
from undertow.errors import RunDirectoryError
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment

pytestmark = pytest.mark.long

Maker = Callable[..., Experiment]

DRIVER = """
import sys
from pathlib import Path
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment
experiment = Experiment.model_validate_json(Path(sys.argv[1]).read_text())
run_experiment(experiment, Path(sys.argv[2]), engine=f"ray://{sys.argv[3]}")
"""


two_nodes = pytest.fixture(scope="module")(clusters.two_nodes)


@pytest.fixture
def experiment(tiny_experiment: Maker) -> Experiment:
    """Two replicates of two arms: four students."""
    return tiny_experiment(replicates=2)


def result_of(directory: Path) -> dict[str, Any]:
    """All that jobs made and the document of it, without times; adapters and rows byte by byte."""
    made: dict[str, Any] = {}
    for name, content in files_of(directory).items():
        if name.startswith((".", "clock", "run.json", "plan.json")):
            continue
        json_there = name.endswith(".json")
        made[name] = unordered(scrubbed(json.loads(content))) if json_there else content
    return made


def unordered(value: Any) -> Any:
    """Peft writes sets, whose order goes by the process."""
    if isinstance(value, dict):
        return {key: unordered(one) for key, one in value.items()}
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return sorted(value)
    return value


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The node on which each folder of a run was begun last, once every node has its worker."""
    begin, places = ray_cluster._Work._begin, dict[str, str]()

    def begun(work: Any, actor: Any, index: int) -> None:
        # Jobs are so small that one node has done all of them before the others have imported anything.
        if work.starting:
            work.ray.wait([*work.starting], num_returns=len(work.starting), timeout=PATIENCE)
        begin(work, actor, index)
        place = work.ray._private.state.actors(actor._actor_id.hex())["Address"]["NodeID"]
        places[work.worker.makes(work.tasks[index])] = place

    monkeypatch.setattr(ray_cluster._Work, "_begin", begun)
    return places


@pytest.mark.parametrize("shared", [True, False])
def test_a_run_on_two_nodes_is_that_of_one_process_bit_for_bit(
    two_nodes: Any,
    experiment: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    places: dict[str, str],
    shared: bool,
) -> None:
    """Both nodes had students; every row, adapter, entry and result is the same, whether or not they see the run's directory."""
    if not shared:
        monkeypatch.setattr(ray_cluster, "_marked", lambda directory: Path("/nowhere/mark"))
    there = run_experiment(experiment, tmp_path / "there", engine=f"ray://{two_nodes.address}")
    here = run_experiment(experiment, tmp_path / "here", engine="inprocess")
    found, expected = result_of(there), result_of(here)

    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert {"results.json", "students/trait--0/adapter_model.safetensors"} < expected.keys()
    assert len({place for name, place in places.items() if name.startswith("students/")}) == 2


def test_a_node_that_goes_changes_no_result(
    two_nodes: Any,
    experiment: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    places: dict[str, str],
) -> None:
    """Of three nodes, the first but the driver's that is given a student goes at once; the run ends, and as the others."""
    two_nodes.add_node(num_cpus=1, **SMALL)
    two_nodes.wait_for_nodes()
    begin, lost = ray_cluster._Work._begin, list[str]()

    def begun(work: Any, actor: Any, index: int) -> None:
        begin(work, actor, index)
        name = work.worker.makes(work.tasks[index])
        there = [node for node in two_nodes.worker_nodes if node.node_id == places[name]]
        if there and name.startswith("students/") and not lost:
            lost.append(name)
            two_nodes.remove_node(there[0])

    monkeypatch.setattr(ray_cluster._Work, "_begin", begun)
    there, here = tmp_path / "there", tmp_path / "here"
    run_experiment(experiment, there, engine=f"ray://{two_nodes.address}")
    run_experiment(experiment, here, engine="inprocess")

    assert len(lost) == 1
    assert result_of(there) == result_of(here)


def test_a_killed_driver_is_resumed_and_a_second_one_refused(
    two_nodes: Any, experiment: Experiment, tmp_path: Path
) -> None:
    """While one works, another is told whose process it is; after its kill no finished job is made again."""
    there, config = tmp_path / "there", tmp_path / "experiment.json"
    config.write_text(experiment.model_dump_json(), encoding="utf-8")
    with (tmp_path / "log").open("w") as log:
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(config), str(there), two_nodes.address], stderr=log
        )
    try:
        wait_until(lambda: list(there.glob("teachers/*[!l]/entry.json")))
        # It holds its lock, and does not end before it is looked at.
        driver.send_signal(signal.SIGSTOP)
        with pytest.raises(
            RunDirectoryError, match=f"process {driver.pid} on {os.uname().nodename}"
        ):
            run_experiment(experiment, there, engine=f"ray://{two_nodes.address}")
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    finished = {
        name: content
        for name, content in files_of(there).items()
        if "/entry.json" in name and ".partial" not in name
    }
    run_experiment(experiment, there, engine=f"ray://{two_nodes.address}")
    here = run_experiment(experiment, tmp_path / "here", engine="inprocess")

    assert finished.items() <= files_of(there).items()
    assert result_of(there) == result_of(here)
