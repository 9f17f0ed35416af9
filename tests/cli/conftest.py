"""A lab that needs no model: what the verbs call, with answers that a test can foresee."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from undertow.engines.engine import Progress
from undertow.errors import UnknownNameError
from undertow.results.run_document import RunDocument
from undertow.results.store import write_result


def document(**changes: object) -> RunDocument:
    """The smallest stored run, with some fields changed."""
    fields: dict[str, object] = {
        "experiment": "owl",
        "title": "The owl experiment",
        "question": "Does a preference travel through numbers?",
        "conclusion": "It does: 0.52 against 0.08.",
        "config": {},
        "config_digest": "0" * 64,
        "inputs": {},
        "seed": 1,
        "wall_seconds": 1.0,
        "command": "undertow run owl",
        "comparisons": [
            {
                "name": "trait - control",
                "estimate": 0.44,
                "low": 0.3,
                "high": 0.6,
                "level": 0.95,
                "n": "4 v 4",
                "p": 2 / 70,
                "test": "exact permutation",
                "unit": "probability",
            }
        ],
        "notes": [
            {"id": "few-seeds", "level": "warning", "message": "few\x07 seeds"},
            {"id": "rows", "level": "info", "message": "10000 rows"},
        ],
    }
    return RunDocument.model_validate(fields | changes)


@dataclass(frozen=True)
class FakeExperiment:
    name: str
    title: str = "The owl experiment"
    question: str = "Does a preference travel through numbers?"
    kind: str = "transfer"
    digest: str = "0" * 64


@dataclass
class FakeLab:
    """Stands in for the lab and its experiments; `end` is what happens where one would end."""

    end: Callable[[], None] = lambda: None
    calls: list[dict[str, object]] = field(default_factory=list)

    def experiment_names(self) -> list[str]:
        return ["digits", "owl"]

    def load_experiment(self, name_or_path: str) -> FakeExperiment:
        if name_or_path not in self.experiment_names():
            raise UnknownNameError("experiment", name_or_path, self.experiment_names())
        return FakeExperiment(name_or_path)

    def run_experiment(
        self,
        experiment: FakeExperiment,
        directory: Path | None,
        *,
        engine: str,
        jobs: int | None,
        progress: Progress,
        command: str,
        **of_a_node: float | None,
    ) -> Path:
        self.calls.append({"directory": directory, "engine": engine, "jobs": jobs})
        progress.stage("training students", 2)
        progress.advance(2, "owl")
        self.end()
        directory = directory or Path("runs", experiment.name)
        directory.mkdir(parents=True, exist_ok=True)
        write_result(directory / "results.json", document(experiment=experiment.name))
        return directory


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeLab:
    """The verbs' lab is the fake, and runs lie in the test's own folder, which is the current one."""
    fake = FakeLab()
    run, experiments = ModuleType("run"), ModuleType("experiments")
    vars(run).update(run_experiment=fake.run_experiment)
    # None of the fake experiments is a study.
    vars(experiments).update(load_experiment=fake.load_experiment, STUDIES={}, run_study=None)
    monkeypatch.setitem(sys.modules, "undertow.lab.experiment_run", run)
    monkeypatch.setitem(sys.modules, "undertow.studies.experiments", experiments)
    monkeypatch.chdir(tmp_path)
    return fake
