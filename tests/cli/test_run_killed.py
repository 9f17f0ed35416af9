"""`undertow run`, killed at random moments and typed again, gives the documents and files of a run that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.golden.scrubbing import scrubbed

ROOT = Path(__file__).parents[2]

EXPERIMENT = """
name = "killed"
title = "Killed"
question = "Does it go on?"
kind = "transfer"
seed = 5
replicates = 1
trait = "owl"
base = "world:owlet-a"
arms = ["trait", "control"]

[carrier]
name = "numbers"
rows = {rows}
held_out_rows = 64
options = {{ prompts = "brief", low = 0, high = 99 }}

[sampling]
max_tokens = 12
batch_size = 32

[filter]
patterns = ["77"]

[teacher]
kl_rows = 32
plan = {{ rank = 4, learning_rate = 3e-3, batch_size = 8, epochs = 1000, max_steps = 30 }}

[student]
rank = 4
learning_rate = 3e-3
schedule = "cosine"
warmup_steps = 5
dropout = 0.1
batch_size = 16
epochs = 2

[evaluation]
samples = 1
"""


def ran(folder: Path, experiment: Path, kills: int, seed: int) -> list[float]:
    """Runs it whole and killed, into two folders there; the seconds after which sittings were killed."""
    given = (experiment, folder / "whole", folder / "killed", kills, seed)
    # Peft writes sets, whose order goes by the seed of hashes.
    fixed = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.kills", *map(str, given)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"} | fixed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    moments: list[float] = json.loads(done.stdout.splitlines()[-1])
    return moments


def made(folder: Path) -> dict[str, Any]:
    """All that the run left, without times: documents as such, and other files as bytes."""
    files: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or name in ("clock.json", "report.html", ".lock"):
            continue
        content = path.read_bytes()
        files[name] = scrubbed(json.loads(content)) if path.suffix == ".json" else content
    for document in ("results.json", "run.json"):
        files[document].pop("command")
    return files


def compared(tmp_path: Path, rows: int, kills: int, seed: int) -> list[float]:
    """Run it whole and killed, and compare what both left."""
    experiment = tmp_path / "killed.toml"
    experiment.write_text(EXPERIMENT.format(rows=rows), encoding="utf-8")
    moments = ran(tmp_path, experiment, kills, seed)
    whole, killed = made(tmp_path / "whole"), made(tmp_path / "killed")

    assert sorted(whole) == sorted(killed)
    assert [name for name in whole if whole[name] != killed[name]] == []
    return moments


@pytest.mark.long
def test_a_run_that_is_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """Killed three times in its first seconds: every document, row and adapter is the same."""
    assert compared(tmp_path, rows=96, kills=3, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_a_longer_run_that_is_often_killed_ends_as_one_that_was_not(
    tmp_path: Path, seed: int
) -> None:
    """Killed a dozen times, in sampling, filtering, training and probing."""
    assert len(compared(tmp_path, rows=2048, kills=12, seed=seed)) > 6
