"""A run on a real cluster of Ray ends as one in this process does: with a node that goes, and a driver that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
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
    """All that jobs made, without times, and the document's arms; adapters and rows byte by byte."""
    made: dict[str, Any] = {}
    for name, content in files_of(directory).items():
        if name.startswith((".", "clock", "run.json", "results.json", "plan.json")):
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


@pytest.mark.parametrize("shared", [True, False])
def test_a_run_on_two_nodes_is_that_of_one_process_bit_for_bit(
    two_nodes: Any,
    experiment: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shared: bool,
) -> None:
    """Every row, adapter and entry is the same, whether or not the nodes see the run's directory."""
    if not shared:
        monkeypatch.setattr(ray_cluster, "_marked", lambda directory: Path("/nowhere/mark"))
    there = run_experiment(experiment, tmp_path / "there", engine=f"ray://{two_nodes.address}")
    here = run_experiment(experiment, tmp_path / "here", engine="inprocess")
    found, expected = result_of(there), result_of(here)

    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert any(name.endswith(".safetensors") for name in expected)


def test_a_node_that_goes_changes_no_result(
    two_nodes: Any, experiment: Experiment, tmp_path: Path
) -> None:
    """A third node is removed once students are at work; the run ends, and as the others."""
    third = two_nodes.add_node(num_cpus=1, **SMALL)
    two_nodes.wait_for_nodes()
    there = tmp_path / "there"
    errors: list[BaseException] = []

    def drive() -> None:
        try:
            run_experiment(experiment, there, engine=f"ray://{two_nodes.address}")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    wait_until(lambda: list(there.glob("students/*.partial")) or not thread.is_alive())
    two_nodes.remove_node(third)
    thread.join(2 * PATIENCE)
    assert not thread.is_alive()
    here = run_experiment(experiment, tmp_path / "here", engine="inprocess")

    assert errors == []
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
