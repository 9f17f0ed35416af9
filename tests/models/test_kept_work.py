"""Whoever begins unfinished work finds a folder of its own, whatever others take away meanwhile."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from undertow.models.kept_work import unfinished_in


def first_of(function: Callable[..., Any], before: Callable[[], None]) -> Callable[..., Any]:
    """The function, of which the first call comes just behind something else."""
    waiting = [before]

    def called(*given: Any, **named: Any) -> Any:
        while waiting:
            waiting.pop()()
        return function(*given, **named)

    return called


def gone() -> None:
    """What a listing meets whose folder went with the work of another."""
    raise FileNotFoundError


PLACES = {
    "while it is listed": (Path, "iterdir", gone),
    "before its lock is there": (Path, "open", None),
    "before its lock is held": (fcntl, "flock", None),
}


@pytest.mark.parametrize("when", PLACES)
def test_a_folder_that_others_take_away_is_made_again(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one that finished takes the folder of all unfinished work along, at any moment."""
    owner, name, before = PLACES[when]
    (tmp_path / "unfinished" / "work").mkdir(parents=True)
    taken = before or (lambda: shutil.rmtree(tmp_path / "unfinished"))
    monkeypatch.setattr(owner, name, first_of(getattr(owner, name), taken))
    with unfinished_in(tmp_path, "work") as folder, unfinished_in(tmp_path, "work") as other:
        assert folder is not None
        assert (folder / ".lock").is_file()
        assert other is None
