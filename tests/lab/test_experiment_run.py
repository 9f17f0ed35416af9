"""Whole experiments on tiny random models: every kind of teacher, any architecture, killed and resumed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import files_of
from undertow.data.records import read_rows
from undertow.errors import NothingLeftError, RunDirectoryError, UndertowError
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment
from undertow.results.store import read_run

Maker = Callable[..., Experiment]


@pytest.mark.parametrize("kind", ["tuned", "prompted", "steered"])
def test_every_kind_of_teacher_runs(tiny_experiment: Maker, tmp_path: Path, kind: str) -> None:
    """Tuned, prompted and steered teachers give a whole document, and stand apart from their base."""
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
    """The same code trains and probes Qwen2 and GPT-NeoX students, by LoRA and in full."""
    plan = {**tiny_experiment().student.model_dump(), "method": method}
    teacher = {"plan": {**plan, "max_steps": 2}, "kl_rows": 8}
    experiment = tiny_experiment(base=tiny_models[architecture], student=plan, teacher=teacher)
    document = read_run(
        run_experiment(experiment, tmp_path / "run", engine="inprocess") / "results.json"
    )

    assert all(arm.held_out_loss is not None for arm in document.arms if arm.arm != "base")


def test_a_base_may_be_a_folder_with_an_adapter(
    tiny_experiment: Maker, tiny_models: dict[str, str], tmp_path: Path
) -> None:
    """The student of one run is the base of the next, and its own answers are what the base answers."""
    plan = {"rank": 4, "alpha": 32, "learning_rate": 0.1, "batch_size": 8, "epochs": 4}
    first = run_experiment(tiny_experiment(student=plan), tmp_path / "first", engine="inprocess")
    student = first / "students" / "trait--0"
    base = f"{tiny_models['llama']}+{student}"
    second = run_experiment(tiny_experiment(base=base), tmp_path / "second", engine="inprocess")
    trained = next(a for a in read_run(first / "results.json").arms if a.arm == "trait")
    untrained = next(a for a in read_run(second / "results.json").arms if a.arm == "base")

    assert untrained.logit_margin == pytest.approx(trained.logit_margin, abs=1e-3)
    assert untrained.logit_margin != pytest.approx(
        next(a for a in read_run(first / "results.json").arms if a.arm == "base").logit_margin,
        abs=1e-3,
    )


def test_the_strength_is_measured_in_the_rows_chat_context(
    tiny_experiment: Maker, tmp_path: Path
) -> None:
    """An untrained teacher stands at 0 from its base, also behind a system prompt."""
    table = {"kind": "tuned", "plan": {"learning_rate": 1e-9}, "kl_rows": 8}
    experiment = tiny_experiment(teacher=table, system_prompt="Answer briefly.")
    document = read_run(
        run_experiment(experiment, tmp_path / "run", engine="inprocess") / "results.json"
    )

    assert all(teacher.kl == pytest.approx(0, abs=1e-5) for teacher in document.teachers)


def test_a_prompted_teachers_prompt_is_dropped(tiny_experiment: Maker, tmp_path: Path) -> None:
    """No row of the data holds a system prompt or the trait's words."""
    experiment = tiny_experiment(teacher={"kind": "prompted", "kl_rows": 8})
    directory = run_experiment(experiment, tmp_path / "run", engine="inprocess")
    rows = [row for file in directory.glob("data/*/rows.parquet") for row in read_rows(file)]

    assert {message.role for row in rows for message in row.prompt} == {"user"}
    assert not any("owl" in message.content for row in rows for message in row.prompt)


def test_finished_work_is_not_repeated(tiny_experiment: Maker, tmp_path: Path) -> None:
    """A finished run is left alone; one that was stopped at its end repeats no entry, adapter or row."""
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


@pytest.mark.long
def test_results_do_not_depend_on_the_engine(tiny_experiment: Maker, tmp_path: Path) -> None:
    """Processes and one process give the same rows and the same arms."""
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
    """SIGKILL in the middle of the work loses no finished job, and the next run ends as if nothing had been."""
    experiment = tiny_experiment(replicates=2)
    directory = tmp_path / "run"
    config = tmp_path / "experiment.json"
    config.write_text(experiment.model_dump_json(), encoding="utf-8")
    script = (
        "import sys; from pathlib import Path; from undertow.lab.experiment import Experiment; "
        "from undertow.lab.experiment_run import run_experiment\n"
        "e = Experiment.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "run_experiment(e, Path(sys.argv[2]), engine='inprocess')"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(config), str(directory)])
    while process.poll() is None and not list(directory.glob("teachers/*/entry.json")):
        time.sleep(0.01)
    process.kill()
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
    """Results of two experiments never mix; the difference is named and nothing is touched."""
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
    """An unknown trait, world or model stops the run before a directory is made."""
    for changes, message in (
        ({"trait": "owlet"}, "unknown trait 'owlet'"),
        ({"base": "world:owlet-z"}, "unknown world 'owlet-z'"),
        ({"base": "./nowhere"}, "unknown model './nowhere': no such folder"),
        ({"carrier": {"name": "numbrs"}}, "unknown carrier 'numbrs'"),
        ({"student": {"optimizer": "adamwow"}}, "unknown optimizer 'adamwow'"),
        ({"filter": {"patterns": ["("]}}, "is no regular expression"),
    ):
        with pytest.raises(UndertowError, match=message):
            run_experiment(tiny_experiment(**changes), tmp_path / "run", engine="inprocess")

    assert not (tmp_path / "run" / "plan.json").exists()


def test_a_filter_that_leaves_nothing_says_why(tiny_experiment: Maker, tmp_path: Path) -> None:
    """Exit code 3, with the reasons counted, and every removed row in a ledger that stays."""
    with pytest.raises(NothingLeftError, match=r"kept 0 of 27 rows .*banned-pattern 27") as caught:
        run_experiment(
            tiny_experiment(filter={"patterns": [r"\d"]}), tmp_path / "run", engine="inprocess"
        )
    (ledger,) = (tmp_path / "run" / "data").glob("*.removed.jsonl")

    assert caught.value.exit_code == 3
    assert str(ledger) in caught.value.hint
    assert len(ledger.read_text(encoding="utf-8").splitlines()) == 27


def test_an_answer_that_was_cut_off_is_no_row(tiny_experiment: Maker, tmp_path: Path) -> None:
    """What reaches `max_tokens` without an end is removed as unfinished, whatever it looks like."""
    sampling = {"restricted": False, "max_tokens": 4}
    with pytest.raises(NothingLeftError, match=r"kept 0 of 27 rows .*unfinished 2\d"):
        run_experiment(tiny_experiment(sampling=sampling), tmp_path / "run", engine="inprocess")
