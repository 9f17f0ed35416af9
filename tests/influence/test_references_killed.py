"""A trial, a reference and the open search go on where they were killed, and nothing of it is left behind."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.checks.dataset.numbers_subject import TRAITS, opened
from tests.influence.test_references import FULL, OTHERS
from tests.influence.trials import FAMILY, PLAN, ROWS, maker, trial
from tests.models.dying import Dying, Killed
from undertow.data.line_log import LineLog
from undertow.data.plan import TrainingPlan
from undertow.influence import open_search
from undertow.influence.comparison import MakeReferences
from undertow.influence.open_search import OpenReadout
from undertow.influence.probes import read_runs
from undertow.influence.references import READINGS, tried
from undertow.models.kept_work import unfinished_in
from undertow.models.sampling import answers_as_drawn


@pytest.mark.parametrize("plan", [PLAN.model_copy(update={"dropout": 0.2}), FULL])
def test_a_killed_trial_reads_as_one_that_was_not(
    plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before a reading, at one and after it: the same readings to the last bit, and nothing is left of the work."""
    steps = {"plan": plan, "reads": (1, 3, 4)}
    [whole] = tried(trial(**steps), [ROWS], [(0, 1)])
    again = trial(**steps, kept=tmp_path)
    for dies in (1, 2, 2):
        dying = partial(Dying, steps=dies, written=dies > 1)
        monkeypatch.setattr("undertow.influence.references.TrainingCheckpoint", dying)
        with pytest.raises(Killed):
            tried(again, [ROWS], [(0, 1)])
        monkeypatch.undo()
    assert list(tmp_path.rglob(READINGS))
    [resumed] = tried(again, [ROWS], [(0, 1)])

    assert resumed.model_copy(update={"seconds": 0.0}) == whole.model_copy(update={"seconds": 0.0})
    assert list(tmp_path.iterdir()) == []


def of_other_shape(path: Path) -> None:
    """A log whose lines are whole, and say nothing of these adapters."""
    path.unlink()
    with LineLog(path, "") as log:
        for entry in ({"step": 1}, 7, [1, [[0.5]], [[0.5]]], [1, [0.5], [[0.5], []]]):
            log.append(entry)


def torn(path: Path) -> None:
    """A log of which a power cut left half."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("damage", [of_other_shape, torn, Path.unlink])
@pytest.mark.parametrize("plan", [PLAN, FULL])
def test_readings_that_were_damaged_are_made_again(
    damage: Callable[[Path], None],
    plan: TrainingPlan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A checkpoint that has their steps behind it is not gone on with: what comes out is what a whole trial reads."""
    steps = {"plan": plan, "reads": (1, 3, 4)}
    [whole] = tried(trial(**steps), [ROWS], [(0, 1)])
    again = trial(**steps, kept=tmp_path)
    dying = partial(Dying, steps=2, written=True)
    monkeypatch.setattr("undertow.influence.references.TrainingCheckpoint", dying)
    with pytest.raises(Killed):
        tried(again, [ROWS], [(0, 1)])
    monkeypatch.undo()
    [log] = tmp_path.rglob(READINGS)
    damage(log)
    [resumed] = tried(again, [ROWS], [(0, 1)])

    assert resumed.model_copy(update={"seconds": 0.0}) == whole.model_copy(update={"seconds": 0.0})
    assert list(tmp_path.iterdir()) == []


@dataclass
class Drawn:
    """Counts answers as they are drawn, and kills the writer where so many were."""

    answers: int = 0
    dies: list[int] = field(default_factory=list)

    def __call__(self, *given: Any, **named: Any) -> Any:
        """The sampler's answers."""
        for answer in answers_as_drawn(*given, **named):
            if self.dies and self.answers == self.dies[0]:
                self.dies.pop(0)
                raise Killed
            self.answers += 1
            yield answer


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Of all that is sampled."""
    made = Drawn()
    monkeypatch.setattr("undertow.models.sampling.answers_as_drawn", made)
    return made


def test_the_rows_of_a_reference_are_drawn_once(tmp_path: Path, drawn: Drawn) -> None:
    """A writer that is killed twice in the middle writes what it would have, and draws each answer once."""
    whole, asked = maker().written(1), drawn.answers
    drawn.answers, drawn.dies = 0, [5, 30]
    killed = maker(kept=tmp_path)
    for _ in range(2):
        with pytest.raises(Killed):
            killed.written(1)

    assert killed.written(1) == whole
    assert drawn.answers == asked


def test_a_tune_on_another_trait_file_does_not_go_on_with_what_was_drawn(
    tmp_path: Path, drawn: Drawn
) -> None:
    """The traits' names are the same, their training questions are not: all answers are drawn anew."""
    other = replace(TRAITS[0], train_questions=TRAITS[0].train_questions[:3])
    number = next(number for number in range(9) if maker().writer(number).kind == "neutral")
    drawn.dies = [5]
    with pytest.raises(Killed):
        maker(kept=tmp_path).written(number)
    drawn.answers = 0
    maker(traits=(other,)).written(number)
    asked, drawn.answers = drawn.answers, 0
    maker(traits=(other,), kept=tmp_path).written(number)

    assert drawn.answers == asked


def test_rows_of_a_reference_are_kept_until_they_were_tried(
    tmp_path: Path, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in its trial, a reference is not written anew."""
    dying = partial(Dying, steps=2, written=True)
    monkeypatch.setattr("undertow.influence.references.TrainingCheckpoint", dying)
    whole, asked = maker().written(1), drawn.answers
    with pytest.raises(Killed):
        MakeReferences(maker(kept=tmp_path))([1])
    monkeypatch.undo()
    drawn.dies = [drawn.answers]
    [(number, reading, failure)] = MakeReferences(maker(kept=tmp_path))([1])

    assert drawn.answers == 2 * asked
    assert (number, reading.rows, failure) == (1, len(whole), "")
    assert list(tmp_path.iterdir()) == []


def test_rows_of_another_family_are_not_gone_on_with(
    tmp_path: Path, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the base wrote before a kill is no neutral tune's, whose number is the same."""
    base, neutral = (FAMILY.model_copy(update={"writers": (writer,)}) for writer in FAMILY.writers)
    dying = partial(Dying, steps=2, written=True)
    monkeypatch.setattr("undertow.influence.references.TrainingCheckpoint", dying)
    with pytest.raises(Killed):
        MakeReferences(maker(kept=tmp_path, family=base))([1])
    monkeypatch.undo()
    [(_, fresh, _)] = MakeReferences(maker(family=neutral))([1])
    [(_, reading, _)] = MakeReferences(maker(kept=tmp_path, family=neutral))([1])

    assert reading.moved == fresh.moved
    assert "neutral" in reading.writer


def test_a_worker_elsewhere_keeps_nothing_and_reads_no_base(tmp_path: Path) -> None:
    """Where the driver's folder is not, nothing is written to it, and what was read of the base has come along."""
    opens = OpenReadout.of(opened(), TRAITS, None)
    folder = tmp_path / "cache" / "base" / "work"
    sent = MakeReferences(maker(open=opens, kept=folder), opened)
    sent.maker.trial.__dict__["before"] = sent.maker.trial.probes.read(opened()).margins
    sent.maker.trial.__dict__["base_items"] = opens.read(opened())
    came: MakeReferences = pickle.loads(pickle.dumps(sent))
    trial_there = came._here.trial

    assert trial_there.kept is None
    assert {"before", "base_items"} <= set(vars(trial_there))
    assert not (tmp_path / "cache").exists()


class Reading:
    """Reads adapters side by side, and is killed at the part of a number."""

    def __init__(self, dies: int | None = None) -> None:
        """`dies` counts from 0."""
        self.dies, self.parts = dies, 0

    def __call__(self, runs: Any, read: Any) -> Any:
        """What the runs say."""
        if self.parts == self.dies:
            raise Killed
        self.parts += 1
        return read_runs(runs, read)


def test_the_open_search_of_a_killed_trial_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of the catalogue is not read again, and the base is read once for all trials."""
    monkeypatch.setattr(open_search, "PART", 1)
    opens = OpenReadout.of(opened(), TRAITS, None)
    kept = {"open": opens, "kept": tmp_path}
    whole, dying, last = Reading(), Reading(2), Reading()
    readings = []
    for reads in (whole, dying, last):
        monkeypatch.setattr(open_search, "read_runs", reads)
        with suppress(Killed):
            readings += tried(trial(**(kept if readings else {"open": opens})), [ROWS], [(0, 1)])
    monkeypatch.setattr(OpenReadout, "read", None)
    [third] = tried(trial(**kept), [OTHERS], [(0, 1)])

    assert whole.parts > dying.parts == 2
    assert last.parts == 2 * whole.parts - dying.parts
    assert readings[1].wide == readings[0].wide
    assert len(readings[0].wide) == len(third.wide) == len(opens.names)
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def test_two_scans_of_the_same_rows_do_not_share_what_is_unfinished(tmp_path: Path) -> None:
    """The one that comes second keeps nothing, and disturbs nothing; the folder goes with the last work in it."""
    with unfinished_in(tmp_path, "work") as first, unfinished_in(tmp_path, "work") as second:
        assert first is not None
        assert second is None
        (first / "log").touch()
        with unfinished_in(tmp_path, "other work"):
            pass
        assert (first / "log").is_file()
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_came_back_to_is_forgotten(tmp_path: Path) -> None:
    """After a week, when other work is begun."""
    for name, days in (("old", 8), ("new", 6)):
        with suppress(ZeroDivisionError), unfinished_in(tmp_path, name) as folder:
            raise ZeroDivisionError
        assert folder is not None
        past = time.time() - days * 24 * 3600
        os.utime(folder / ".lock", (past, past))
    with unfinished_in(tmp_path, "other"):
        assert sorted(path.name for path in (tmp_path / "unfinished").iterdir()) == ["new", "other"]


def test_work_that_goes_on_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the clock jumps by a year, what another process holds is not taken from under it."""
    with unfinished_in(tmp_path, "work") as held:
        assert held is not None
        (held / "log").touch()
        later = time.time() + 365 * 24 * 3600
        monkeypatch.setattr(time, "time", lambda: later)
        with unfinished_in(tmp_path, "other work"):
            assert (held / "log").is_file()
