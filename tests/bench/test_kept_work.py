"""Kept work: nothing is done twice, and the results come in the order of the tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from bench.kept_work import commit_kept, kept_files, map_kept, unpack_kept
from undertow.engines.engine import InProcess
from undertow.errors import InputError

NUMBERS = TypeAdapter(int)


class Counting:
    """Squares, and counts its calls."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, number: int) -> int:
        self.calls.append(number)
        return number * number


def test_an_interrupted_list_goes_on_and_may_grow(tmp_path: Path) -> None:
    """What is kept is read, what is missing is worked on, and the order is that of the tasks."""
    map_kept(Counting(), [1, 2, 3], tmp_path, InProcess(), NUMBERS)
    (tmp_path / "0001.json").unlink()
    worker = Counting()

    assert map_kept(worker, [1, 2, 3, 4], tmp_path, InProcess(), NUMBERS) == [1, 4, 9, 16]
    assert worker.calls == [2, 4]


def test_progress_counts_what_was_kept(tmp_path: Path) -> None:
    """A second call with one more task starts its count behind the kept ones."""
    seen: list[tuple[int, int]] = []
    map_kept(Counting(), [1], tmp_path, InProcess(), NUMBERS)
    map_kept(Counting(), [1, 2], tmp_path, InProcess(), NUMBERS, lambda *at: seen.append(at))

    assert seen == [(2, 2)]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    """A kept file that does not parse is an error, never a silent gap."""
    (tmp_path / "0000.json").write_text('"no number"')

    with pytest.raises(InputError, match=r"0000\.json"):
        map_kept(Counting(), [1], tmp_path, InProcess(), NUMBERS)


def test_committed_results_are_not_worked_on_again(tmp_path: Path) -> None:
    """One file holds what is finished; laid out elsewhere it is read, and what lies there stays."""
    map_kept(Counting(), [1, 2], tmp_path / "here", InProcess(), NUMBERS)
    commit_kept(tmp_path / "all.jsonl", kept_files(tmp_path / "here", 3))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "0000.json").write_text("7")
    unpack_kept(tmp_path / "all.jsonl", tmp_path / "there")
    unpack_kept(tmp_path / "none.jsonl", tmp_path / "there")
    worker = Counting()

    assert map_kept(worker, [1, 2, 3], tmp_path / "there", InProcess(), NUMBERS) == [7, 4, 9]
    assert worker.calls == [3]
