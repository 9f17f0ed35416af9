"""A second verb that would write into the folder of a result is refused while the first one is at work."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from undertow.cli.terminal import Session
from undertow.cli.verbs import Verbs
from undertow.errors import RunDirectoryError

BASE = "world:owlet-b"
VERBS = {
    "scan": ("scan", "rows.jsonl", "--student", BASE),
    "diff": ("diff", BASE, BASE),
    "lineage": ("lineage", BASE, BASE),
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_second_is_refused(verb: str, tmp_path: Path) -> None:
    """Before anything is read, with the folder and what to do; once the first one is gone, it is not."""
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    arguments = [*VERBS[verb], "--out", str(tmp_path)]
    refused = CliRunner().invoke(Verbs("undertow"), arguments, obj=Session())
    os.close(held)
    passed = CliRunner().invoke(Verbs("undertow"), [*arguments, "--check", "none"], obj=Session())

    assert isinstance(refused.exception, RunDirectoryError)
    assert refused.exception.message == f"another process is working in '{tmp_path}'"
    assert "--out" in refused.exception.hint
    assert not isinstance(passed.exception, RunDirectoryError)
    assert list(tmp_path.iterdir()) == []
