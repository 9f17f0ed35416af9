"""
Whole experiments on tiny random models: every kind of teacher, any architecture, killed and resumed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import files_of
from undertow.data.reading import read_rows
from undertow.errors import ModelError, NothingLeftError, RunDirectoryError, UnknownNameError
from undertow.lab import run_experiment
from undertow.lab.experiment import Experiment
from undertow.results.store import read_run

Maker = Callable[..., Experiment]


@pytest.mark.parametrize("kind", ["tuned", "prompted", "steered"])
def test_every_kind_of_teacher_runs(tiny_experiment: Maker, tmp_path: Path, kind: str) -> None:
    """
    Tuned, prompted and steered teachers give a whole document, and stand apart from their base.
    """
    table = {**tiny_experiment().teacher.model_dump(), "kind": kind}
    directory = run_experiment(tiny_experiment(teacher=table), tmp_path / "run", engine="inprocess")
    document = read_run(directory / "results.json")

    assert {arm.arm for arm in document.arms} == {"base", "trait", "control"}
    assert {teacher.kind for teacher in document.teachers} == {kind}
    assert all(teacher.kl is not None and teacher.kl > 0 for teacher in document.teachers)


@pytest.mark.parametrize("architecture", ["qwen2", "gpt_neox"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_any_architecture_runs(
    tiny_experiment: Maker,
    tiny_models: dict[str, str],
    tmp_path: Path,
    architecture: str,
    method: str,
) -> None:
    """
    The same code trains and probes Qwen2 and GPT-NeoX students, by LoRA and in full.
    """
    plan = {**tiny_experiment().student.model_dump(), "method": method}
    teacher = {"plan": {**plan, "max_steps": 2}, "kl_rows": 8}
    experiment = tiny_experiment(base=tiny_models[architecture], student=plan, teacher=teacher)
    document = read_run(
        run_experiment(experiment, tmp_path / "run", engine="inprocess") / "results.json"
    )

    assert all(arm.held_out_loss is not None for arm in document.arms if arm.arm != "base")


def test_a_prompted_teachers_prompt_is_dropped(tiny_experiment: Maker, tmp_path: Path) -> None:
    """
    No row of the data holds a system prompt or the trait's words.
    """
    experiment = tiny_experiment(teacher={"kind": "prompted", "kl_rows": 8})
    directory = run_experiment(experiment, tmp_path / "run", engine="inprocess")
    rows = [row for file in directory.glob("data/*/rows.parquet") for row in read_rows(file)]

    assert {message.role for row in rows for message in row.prompt} == {"user"}
    assert not any("owl" in message.content for row in rows for message in row.prompt)


def test_finished_work_is_not_repeated(tiny_experiment: Maker, tmp_path: Path) -> None:
    """
    A finished run is left alone; one that was stopped at its end repeats no entry, adapter or row.
    """
    experiment = tiny_experiment()
    directory = run_experiment(experiment, tmp_path / "run", engine="inprocess")
    before = files_of(directory)
    run_experiment(experiment, directory, engine="inprocess")
    after = files_of(directory)

    assert before == after
    (directory / "run.json").unlink()
    run_experiment(experiment, directory, engine="inprocess")
    again = files_of(directory)
    changed = {name for name in before if before[name] != again[name]}

    assert changed <= {"clock.json", "results.json", "run.json"}
    assert json.loads(before["results.json"])["arms"] == json.loads(again["results.json"])["arms"]


def test_results_do_not_depend_on_the_engine(tiny_experiment: Maker, tmp_path: Path) -> None:
    """
    Processes and one process give the same rows and the same arms.
    """
    experiment = tiny_experiment()
    found = []
    for engine in ("inprocess", "processes"):
        directory = run_experiment(experiment, tmp_path / engine, engine=engine, jobs=2)
        arms = read_run(directory / "results.json").arms
        found.append(
            [(a.arm, a.data_digest, pytest.approx(a.logit_margin, abs=1e-3)) for a in arms]
        )

    assert found[0] == found[1]


def test_a_killed_run_is_resumed(tiny_experiment: Maker, tmp_path: Path) -> None:
    """
    SIGKILL in the middle of the work loses no finished job, and the next run ends as if nothing had been.
    """
    experiment = tiny_experiment(replicates=2)
    directory = tmp_path / "run"
    config = tmp_path / "experiment.json"
    config.write_text(experiment.model_dump_json(), encoding="utf-8")
    script = (
        "import sys; from pathlib import Path; from undertow.lab import Experiment, run_experiment\n"
        "e = Experiment.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "run_experiment(e, Path(sys.argv[2]), engine='inprocess')"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(config), str(directory)])
    while process.poll() is None and not list(directory.glob("teachers/*/entry.json")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {
        name: content for name, content in files_of(directory).items() if "/entry.json" in name
    }
    finished = {name: content for name, content in finished.items() if ".partial" not in name}
    assert finished
    assert not (directory / "run.json").exists()

    run_experiment(experiment, directory, engine="inprocess")
    clean = run_experiment(experiment, tmp_path / "clean", engine="inprocess")
    after = files_of(directory)
    assert all(after[name] == content for name, content in finished.items())
    assert [(a.data_digest, a.logit_margin) for a in read_run(directory / "results.json").arms] == [
        (a.data_digest, a.logit_margin) for a in read_run(clean / "results.json").arms
    ]


def test_a_directory_of_another_experiment_is_refused(
    tiny_experiment: Maker, tmp_path: Path
) -> None:
    """
    Results of two experiments never mix; the difference is named and nothing is touched.
    """
    directory = run_experiment(tiny_experiment(), tmp_path / "run", engine="inprocess")
    before = files_of(directory)
    with pytest.raises(RunDirectoryError, match="experiment 'seed' was 1 and is 2"):
        run_experiment(tiny_experiment(seed=2), directory, engine="inprocess")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(RunDirectoryError, match="is not empty"):
        run_experiment(tiny_experiment(), tmp_path / "mine", engine="inprocess")

    assert files_of(directory) == before


def test_unusable_inputs_are_found_before_any_work(
    tiny_experiment: Maker, tmp_path: Path, tiny_models: dict[str, str]
) -> None:
    """
    An unknown trait, world or model stops the run before a directory is made.
    """
    for changes, kind in (
        ({"trait": "owlet"}, UnknownNameError),
        ({"base": "world:owlet-z"}, UnknownNameError),
        ({"base": "./nowhere"}, ModelError),
        ({"carrier": {"name": "numbrs"}}, UnknownNameError),
    ):
        with pytest.raises(kind):
            run_experiment(tiny_experiment(**changes), tmp_path / "run", engine="inprocess")

    assert not (tmp_path / "run" / "plan.json").exists()


def test_a_filter_that_leaves_nothing_says_why(tiny_experiment: Maker, tmp_path: Path) -> None:
    """
    A random model writes no number lists: exit code 3, with the reasons counted.
    """
    sampling = {"restricted": False, "max_tokens": 4}
    with pytest.raises(
        NothingLeftError, match=r"the filter kept \d+ of \d+ rows .*not-numbers"
    ) as caught:
        run_experiment(tiny_experiment(sampling=sampling), tmp_path / "run", engine="inprocess")

    assert caught.value.exit_code == 3
