"""What an interrupted run keeps, in words."""

from __future__ import annotations

from pathlib import Path

from undertow.data.line_log import LineLog
from undertow.lab.run_directory import kept_in_words
from undertow.models.kept_work import WORK
from undertow.models.training_checkpoint import CHECKPOINT


def test_it_says_what_is_finished_and_what_the_others_go_on_from(tmp_path: Path) -> None:
    """Jobs by name, answers by number; a job that has kept nothing yet is not named."""
    for name in ("teachers/a", "data/a", "students/new.partial", "students/s--1.partial"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("teachers/a", "data/a"):
        (tmp_path / name / "entry.json").touch()
    (tmp_path / "students/s--1.partial/unfinished").mkdir()
    (tmp_path / "students/s--1.partial/unfinished" / CHECKPOINT).touch()
    with LineLog(tmp_path / "data/b.partial/unfinished" / WORK, "b") as log:
        for number in range(3):
            log.append(number)

    first, *others = kept_in_words(tmp_path).split("; ")
    assert first == "2 finished jobs"
    assert others == ["of b 3 answers or parts", "of s--1 a checkpoint of 0 s ago"]
