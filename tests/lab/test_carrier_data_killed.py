"""What a job was doing when it was killed is found again: no answer is drawn and no number computed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import files_of
from undertow.lab import writers
from undertow.lab.carrier_data import SampleData
from undertow.lab.design import design
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_run import run_experiment
from undertow.lab.run_directory import step
from undertow.models.kept_work import KeptWork
from undertow.models.sampling import SampledAnswer
from undertow.results.run_document import Dataset

Maker = Callable[..., Experiment]


class Killed(BaseException):
    """What no `except Exception` sees, as a kill is not."""


class Counting:
    """The lab's own drawing of answers, which counts them, and dies after some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._draw = writers.answers_as_drawn
        self.drawn, self.dies_after = 0, 10**9
        monkeypatch.setattr(writers, "answers_as_drawn", self)

    def __call__(self, *given: Any) -> Iterator[tuple[int, SampledAnswer]]:
        for answer in self._draw(*given):
            if self.drawn == self.dies_after:
                raise Killed
            self.drawn += 1
            yield answer


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Counts the answers that are drawn."""
    return Counting(monkeypatch)


def finished(directory: Path) -> dict[str, bytes]:
    """The files of a dataset but for its entry, which has the time in it."""
    return {name: text for name, text in files_of(directory).items() if name != "entry.json"}


@pytest.mark.parametrize("kills", [[0], [1, 5, 9], [30, 31, 40, 47]])
def test_a_killed_dataset_is_that_of_one_that_was_not(
    tiny_experiment: Maker, tmp_path: Path, counting: Counting, kills: list[int]
) -> None:
    """
    Killed in the first round and in later ones: the same rows, ledger and account, and each answer is drawn once.

    The filter keeps few, so that several rounds are needed.
    """
    experiment = tiny_experiment(filter={"patterns": ["7"]}, sampling={"restricted": True})
    entries, files, drawn = [], [], []
    for name, deaths in (("whole", []), ("killed", kills)):
        run = tmp_path / name
        job = design(experiment).generations[0].datasets[0]
        step_to_teacher(experiment, run)
        counting.drawn = 0
        for death in deaths:
            counting.dies_after = death
            with pytest.raises(Killed):
                step(SampleData(experiment, run), Dataset, run / "data")(job)
        counting.dies_after = 10**9
        entry = step(SampleData(experiment, run), Dataset, run / "data")(job)
        entries.append(entry.model_copy(update={"seconds": 0.0}))
        files.append(finished(run / "data" / job.name))
        drawn.append(counting.drawn)

    assert entries[0] == entries[1]
    assert files[0] == files[1]
    assert drawn[0] == drawn[1] == entries[0].asked > 27


def step_to_teacher(experiment: Experiment, run: Path) -> None:
    """The run's teachers."""
    from undertow.lab.writers import MakeTeacher
    from undertow.results.run_document import Teacher

    for job in design(experiment).teachers:
        step(MakeTeacher(experiment, run), Teacher, run / "teachers")(job)


def test_killed_pairs_are_those_of_one_that_was_not(
    tiny_experiment: Maker, tmp_path: Path, counting: Counting
) -> None:
    """On either side, and while they are weighed: the same pairs, each drawn once."""
    pytest.importorskip("trl")
    experiment = tiny_experiment(
        arms=["preferences"], preference={"pool": 24, "keep": 0.5}, sampling={"restricted": True}
    )
    files = []
    for name, deaths in (("whole", []), ("killed", [5, 30])):
        counting.drawn = 0
        run = tmp_path / name
        step_to_teacher(experiment, run)
        counting.drawn = 0
        [job, *_] = design(experiment).generations[0].datasets
        for death in deaths:
            counting.dies_after = death
            with pytest.raises(Killed):
                step(SampleData(experiment, run), Dataset, run / "data")(job)
        counting.dies_after = 10**9
        step(SampleData(experiment, run), Dataset, run / "data")(job)
        files.append(finished(run / "data" / job.name))
        assert counting.drawn == 48

    assert files[0] == files[1]


def test_what_is_computed_in_parts_is_computed_once(tmp_path: Path) -> None:
    """Parts from before are found again; a torn last one is computed again."""
    asked: list[list[int]] = []

    def squares(items: Any) -> list[float]:
        asked.append(list(items))
        if len(asked) == 3:
            raise Killed
        return [item**2 / 3 for item in items]

    def squared() -> list[float]:
        with KeptWork(tmp_path, "it") as kept:
            return kept.parts("squares", range(10), squares, doing="", unit="", size=4)

    with pytest.raises(Killed):
        squared()
    log = next(tmp_path.iterdir())
    log.write_bytes(log.read_bytes()[:-3])
    assert squared() == [n**2 / 3 for n in range(10)]
    assert asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [4, 5, 6, 7], [8, 9]]


def test_a_finished_run_keeps_no_unfinished_work(tiny_experiment: Maker, tmp_path: Path) -> None:
    """Logs and checkpoints go with the jobs that they were for."""
    run = run_experiment(tiny_experiment(), tmp_path / "run", engine="inprocess")

    assert [name for name in files_of(run) if "unfinished" in name or "partial" in name] == []
