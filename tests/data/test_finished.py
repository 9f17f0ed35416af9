"""Finished work is found again by its name, and work that failed leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from undertow.data.finished import Finished, FinishedFolders, unfinished

NUMBERS = TypeAdapter(int)


class Answer(BaseModel):
    """What some work found."""

    value: int


def test_a_result_is_found_by_its_name(tmp_path: Path) -> None:
    """What is kept is found, what is not is still to do, and a torn file is no result."""
    finished = Finished(tmp_path / "kept", NUMBERS)
    finished.keep("nine", 9)

    assert (finished.result("nine"), finished.result("ten")) == (9, None)
    (tmp_path / "kept" / "nine.json").write_text("9 9")
    with pytest.raises(ValueError, match="Invalid JSON"):
        finished.result("nine")


def test_what_is_cleared_is_gone(tmp_path: Path) -> None:
    """The folder goes with its results; a store without a folder keeps nothing."""
    for finished in (Finished(tmp_path / "kept", NUMBERS), Finished(None, NUMBERS)):
        finished.keep("nine", 9)
        finished.clear()
        assert finished.result("nine") is None

    assert list(tmp_path.iterdir()) == []


def test_a_folder_takes_its_name_with_its_result(tmp_path: Path) -> None:
    """The files of the work stand beside its entry."""
    folders = FinishedFolders(tmp_path, Answer)

    def work(folder: Path) -> Answer:
        (folder / "weights").write_text("w")
        return Answer(value=3)

    assert folders.make("student", work) == Answer(value=3) == folders.result("student")
    assert sorted(path.name for path in (tmp_path / "student").iterdir()) == [
        "entry.json",
        "weights",
    ]


def test_work_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither its folder nor what an earlier, killed try left; a damaged entry is an error."""
    folders = FinishedFolders(tmp_path, Answer)
    (tmp_path / "student.partial").mkdir()

    with pytest.raises(ZeroDivisionError):
        folders.make("student", lambda folder: Answer(value=1 // 0))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "student").mkdir()
    folders.path("student").write_text("{}")
    with pytest.raises(ValidationError):
        folders.result("student")


def test_what_is_unfinished_is_found_by_the_next_try(tmp_path: Path) -> None:
    """What was kept for going on stays through failures, without the rest, and goes with the end."""
    folders = FinishedFolders(tmp_path, Answer)

    def work(folder: Path) -> Answer:
        kept = unfinished(folder)
        kept.mkdir(exist_ok=True)
        tries = len(list(kept.iterdir()))
        (kept / str(tries)).touch()
        assert not (folder / "half").exists()
        (folder / "half").touch()
        return Answer(value=tries) if tries == 2 else Answer(value=1 // 0)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            folders.make("student", work)
    assert folders.make("student", work) == Answer(value=2)
    assert sorted(path.name for path in (tmp_path / "student").iterdir()) == ["entry.json", "half"]


def test_only_the_name_was_missing(tmp_path: Path) -> None:
    """Work that was killed between its result and its name is not done again."""
    folders = FinishedFolders(tmp_path, Answer)
    folders.make("student", lambda folder: Answer(value=3))
    (tmp_path / "student").rename(tmp_path / "student.partial")

    assert folders.make("student", lambda folder: Answer(value=1 // 0)) == Answer(value=3)
    assert folders.result("student") == Answer(value=3)
