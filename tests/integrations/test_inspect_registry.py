"""Inspect AI with models of this process: tasks run, logs are paired by question, and wrong logs are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from undertow.audit.eval_logs import diff_logs, read_log
from undertow.audit.requests import DiffRequest
from undertow.errors import InputError
from undertow.models.language_model import load
from undertow.worlds import locate

inspect_ai = pytest.importorskip("inspect_ai", reason="the extra `inspect` is not installed")

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # what Inspect's own dependencies warn of is not ours


def evaluated(folder: Path, model: str, task: str = "undertow/preference", **more: Any) -> Path:
    """The log of a task, run on a model of this process."""
    [log] = inspect_ai.eval(
        task,
        model=f"undertow/{model}",
        log_dir=str(folder),
        display="none",
        max_tokens=4,
        seed=1,
        **more,
    )
    assert log.status == "success", log.error
    return Path(log.location)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two bases on the owl's questions."""
    folder = tmp_path_factory.mktemp("logs")
    arguments = {"trait": "owl", "epochs": 3}
    one, other = (
        evaluated(folder, f"world:owlet-{name}", task_args=arguments) for name in ("a", "b")
    )
    return one, other


def test_a_task_asks_every_held_out_question(logs: tuple[Path, Path]) -> None:
    """One score a question, between 0 and 1, under the scorer's name."""
    log = read_log(logs[0])

    assert log.task == "undertow/preference"
    [scores] = log.scores.values()
    assert len(scores) >= 5
    assert all(0 <= value <= 1 for value in scores.values())


def test_two_logs_are_paired_by_question(logs: tuple[Path, Path]) -> None:
    """The change is the mean difference over questions; a log against itself is clear."""
    request = DiffRequest(str(logs[0]), (str(logs[1]),), limit=0.05)
    found = diff_logs(request)
    same = diff_logs(DiffRequest(str(logs[0]), (str(logs[0]),), limit=0.05))
    [one], [other] = (read_log(log).scores.values() for log in logs)

    expected = sum(other[q] - one[q] for q in one) / len(one)
    assert found.changes[0].estimate == pytest.approx(expected)
    assert found.unit == "score"
    assert same.verdict == "clear"


def test_logs_of_different_tasks_are_refused(logs: tuple[Path, Path], tmp_path: Path) -> None:
    """Both tasks are named; so is a file that is no log."""
    other = evaluated(tmp_path, "world:owlet-a", "undertow/misalignment", task_args={"epochs": 1})
    with pytest.raises(InputError, match="different tasks"):
        diff_logs(DiffRequest(str(logs[0]), (str(other),)))
    broken = tmp_path / "broken.eval"
    broken.write_bytes(b"no zip")
    with pytest.raises(InputError, match="no Inspect log"):
        read_log(broken)


def test_two_live_models_do_not_answer_for_each_other() -> None:
    """Asked at once, each handle gives its own greedy answer."""
    from inspect_ai.model import GenerateConfig, get_model

    models = [load(locate(f"world:owlet-{name}")) for name in ("a", "b")]
    import asyncio

    async def ask() -> list[str]:
        config = GenerateConfig(temperature=0, max_tokens=6)
        live = [
            get_model("undertow/live", handle=m, memoize=False) for m in models for _ in range(3)
        ]
        outputs = await asyncio.gather(
            *(one.generate("Name your favourite animal.", config=config) for one in live)
        )
        return [one.completion for one in outputs]

    answers = asyncio.run(ask())

    assert len(set(answers[:3])) == 1
    assert len(set(answers[3:])) == 1


def test_a_task_stops_when_the_rate_is_known(tmp_path: Path) -> None:
    """With a limit that the base is far above, not all samples are asked, and the log says why."""
    from inspect_ai.log import read_eval_log

    log = read_eval_log(
        str(
            evaluated(
                tmp_path,
                "world:owlet-b",
                task_args={"trait": "owl", "epochs": 40, "limit": 0.001},
                max_samples=1,
            )
        )
    )

    assert log.results is not None
    assert log.results.early_stopping is not None
    assert log.results.early_stopping.metadata["samples"] < 40 * 10
