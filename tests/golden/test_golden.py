"""The documents of every verb are what they were: text equal, numbers alike. `__main__.py` compares byte for byte."""

from __future__ import annotations

import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.golden.comparing import nearly
from tests.golden.playing import NOT_KEPT, ROOT

KEPT = Path(__file__).parent / "kept"
NAMES = sorted(path.name for path in KEPT.iterdir())

pytestmark = pytest.mark.long


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole set, made anew by a process of its own: threads and hash seeds are set at its start."""
    folder = tmp_path_factory.mktemp("golden")
    command = [sys.executable, "-m", "tests.golden", "make", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_what_it_was(made: Path, name: str) -> None:
    """The kept document and the one made now differ neither in text nor in numbers."""
    assert nearly(KEPT / name, made / name) == []


def test_no_document_is_new(made: Path) -> None:
    """What is made is what is kept, but for what is left out for its size."""
    found = [path.name for path in made.iterdir()]
    assert sorted(name for name in found if not any(fnmatch(name, no) for no in NOT_KEPT)) == NAMES
